//! nginx, as web service with and without TLS: the page of the built-in service, with its marks. A server for each address,
//! so that the page can say over which family it was served. Whatever else is asked for, log-ins among it, is for the
//! application behind it; it keeps the access list and the access log, and sends that on to the sink of its node.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = r#"daemon off;
user root;
worker_processes 1;
pid {{ work }}/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path {{ work }}/body;
    proxy_temp_path {{ work }}/proxy;
    fastcgi_temp_path {{ work }}/fastcgi;
    uwsgi_temp_path {{ work }}/uwsgi;
    scgi_temp_path {{ work }}/scgi;
    default_type "text/html; charset=utf-8";
    map $request_uri $is_own {
        default 0;
{% for path in paths %}
        "{{ path }}" 1;
{% endfor %}
    }
    log_format log_in '$remote_addr - $upstream_http_sixwalk_log_in';
{% if admits %}
    geo $is_admitted {
        default 0;
{% for net in admits %}
        {{ net.net }} 1;
{% endfor %}
    }
{% endif %}
    upstream application {
        server unix:{{ work }}/{{ application }};
    }
    proxy_http_version 1.1;
{% if kind == "https" %}
    ssl_certificate {{ work }}/certificate.pem;
    ssl_certificate_key {{ work }}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
{% endif %}
{% for at in listen %}
    server {
        listen {{ at.host }}:{{ port }}{% if kind == "https" %} ssl{% endif %}{% if at.v6 %} ipv6only=on{% endif %};
        proxy_set_header Host $http_host;
        proxy_set_header Connection "";
{% if at.v6 %}
        proxy_set_header Forwarded 'for="[$remote_addr]:$remote_port";by="[$server_addr]:$server_port"';
{% else %}
        proxy_set_header Forwarded 'for="$remote_addr:$remote_port";by="$server_addr:$server_port"';
{% endif %}
{% if admits %}
        if ($is_admitted = 0) { return 444; }
{% endif %}
        location = {{ login }} {
            access_log {{ work }}/{{ log }} log_in if=$upstream_http_sixwalk_log_in;
{% if sink %}
            access_log syslog:server={{ sink }} log_in if=$upstream_http_sixwalk_log_in;
{% endif %}
            proxy_hide_header {{ told }};
            proxy_pass http://application;
        }
        location / {
            if ($is_own) { rewrite ^ /.own last; }
            proxy_pass http://application;
        }
        location = /.own {
            internal;
            add_header Cache-Control no-store;
            add_header sixwalk-stamp $msec;
            add_header sixwalk-served-by "{{ node }}/{{ service }}/{{ at.family }}";
            return 200 '<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ node }}</title>
<h1>{{ service }} of {{ node }}: at your service</h1>
<p id="sixwalk-mark">served over {{ at.family }} at $msec</p>
';
        }
    }
{% endfor %}
}
"#;

pub(super) static ENGINE: Engine = Engine {
    name: "nginx",
    parts: &[Part::Service(ServiceKind::Http), Part::Service(ServiceKind::Https)],
    package: "nginx-light",
    program: "nginx",
    version: &["-v"],
    command: &["-e", "stderr", "-p", "{{ work }}", "-c", "{{ work }}/nginx.conf"],
    files: &[("nginx.conf", CONF)],
    folders: &[],
    passes_on: false,
    relays: false,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: false,
};
