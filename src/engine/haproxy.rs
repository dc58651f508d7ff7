//! HAProxy, as web service with and without TLS that answers by itself, and as front: by Host, or by server name without
//! decrypting anything. As web service it passes what it does not know, log-ins among it, on to the application behind it;
//! it keeps the access list, says log-ins on its standard output, and sends them on to the sink of its node.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = r#"global
    log stderr format raw daemon warning
    nbthread 1
    maxconn 512
defaults
    mode {{ "tcp" if is_front and kind == "https" else "http" }}
    log global
    timeout client 30s
    timeout connect 5s
    timeout server 30s
    timeout http-request 30s
{% if is_front %}
    option dontlog-normal
{% for at in listen %}
frontend {{ at.family }}-{{ loop.index }}
    bind {{ at.host }}:{{ port }}{% if at.v6 %} v6only{% endif %}

{% if admits %}
    tcp-request connection reject unless { src{% for net in admits %} {{ net.net }}{% endfor %} }
{% endif %}
{% if kind == "https" %}
    tcp-request inspect-delay 5s
    tcp-request content accept if { req.ssl_hello_type 1 }
    tcp-request content reject
{% endif %}
{% for site in sites %}
    use_backend {{ site.node }} if { {{ "req.ssl_sni -i" if kind == "https" else "req.hdr(host),field(1,:) -i" }} {{ site.names | join(" ") }} }
{% endfor %}
{% if kind == "http" %}
    default_backend _nobody
{% endif %}
{% endfor %}
{% for site in sites %}
backend {{ site.node }}
{% for at in site.at %}
    server {{ site.node }}-{{ loop.index }} {{ at }}{% if tells == "v1" %} send-proxy{% elif tells == "v2" %} send-proxy-v2{% endif %}

{% endfor %}
{% endfor %}
{% if kind == "http" %}
backend _nobody
    http-request return status 421 content-type "text/plain" string "no such site"
{% endif %}
{% else %}
{% for at in listen %}
frontend {{ at.family }}-{{ loop.index }}
    bind {{ at.host }}:{{ port }}{% if at.v6 %} v6only{% endif %}{% if kind == "https" %} ssl crt {{ work }}/both.pem alpn http/1.1{% endif %}

{% if admits %}
    tcp-request connection reject unless { src{% for net in admits %} {{ net.net }}{% endfor %} }
{% endif %}
    log stdout format raw local0 info
{% if sink %}
    log {{ sink }} format rfc5424 local0 info
{% endif %}
    log-format "%ci - %[var(txn.told)]"
    http-request set-log-level silent unless { path {{ login }} }
    http-response set-var(txn.told) res.hdr({{ told }})
    http-response set-log-level silent unless { res.hdr({{ told }}) -m found }
    http-response del-header {{ told }}
{% if at.v6 %}
    http-request set-header Forwarded 'for="[%[src]]:%[src_port]";by="[%[dst]]:%[dst_port]"'
{% else %}
    http-request set-header Forwarded 'for="%[src]:%[src_port]";by="%[dst]:%[dst_port]"'
{% endif %}
{% if paths %}
    http-request return status 200 content-type "text/html; charset=utf-8" hdr cache-control no-store hdr sixwalk-stamp "%[date]" hdr sixwalk-served-by "{{ node }}/{{ service }}/{{ at.family }}" lf-file {{ work }}/page-{{ at.family }}.html if { url{% for path in paths %} '{{ path | replace("'", "'\\''") }}'{% endfor %} }
{% endif %}
    default_backend application
{% endfor %}
backend application
    server application unix@{{ work }}/{{ application }}
{% endif %}
"#;

const PAGE_V4: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ node }}</title>
<h1>{{ service }} of {{ node }}: at your service</h1>
<p id="sixwalk-mark">served over ipv4 at %[date]</p>
"#;

const PAGE_V6: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ node }}</title>
<h1>{{ service }} of {{ node }}: at your service</h1>
<p id="sixwalk-mark">served over ipv6 at %[date]</p>
"#;

pub(super) static ENGINE: Engine = Engine {
    name: "haproxy",
    parts: &[Part::Service(ServiceKind::Http), Part::Service(ServiceKind::Https)],
    package: "haproxy",
    program: "haproxy",
    version: &["-v"],
    command: &["-db", "-f", "{{ work }}/haproxy.cfg"],
    files: &[("haproxy.cfg", CONF), ("page-ipv4.html", PAGE_V4), ("page-ipv6.html", PAGE_V6)],
    folders: &[],
    passes_on: true,
    relays: false,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: false,
};
