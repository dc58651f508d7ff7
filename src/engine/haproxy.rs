//! HAProxy, as web service with and without TLS that answers by itself, and as front: by Host, or by server name without
//! decrypting anything.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = r#"global
    log stderr format raw daemon warning
    nbthread 1
    maxconn 512
defaults
    mode {{ "tcp" if is_front and kind == "https" else "http" }}
    log global
    option dontlog-normal
    timeout client 30s
    timeout connect 5s
    timeout server 30s
    timeout http-request 30s
{% if is_front %}
{% for at in listen %}
frontend {{ at.family }}-{{ loop.index }}
    bind {{ at.host }}:{{ port }}{% if at.v6 %} v6only{% endif %}

{% if kind == "https" %}
    tcp-request inspect-delay 5s
    tcp-request content accept if { req.ssl_hello_type 1 }
    tcp-request content reject
{% endif %}
{% for site in sites %}
    use_backend {{ site.node }} if { {{ "req.ssl_sni -i" if kind == "https" else "req.hdr(host),field(1,:) -i" }} {{ site.names | join(" ") }} }
{% endfor %}
{% if kind == "http" %}
    default_backend nobody
{% endif %}
{% endfor %}
{% for site in sites %}
backend {{ site.node }}
{% for at in site.at %}
    server {{ site.node }}-{{ loop.index }} {{ at }}{% if tells == "v1" %} send-proxy{% elif tells == "v2" %} send-proxy-v2{% endif %}

{% endfor %}
{% endfor %}
{% if kind == "http" %}
backend nobody
    http-request return status 421 content-type "text/plain" string "no such site"
{% endif %}
{% else %}
{% for at in listen %}
frontend {{ at.family }}-{{ loop.index }}
    bind {{ at.host }}:{{ port }}{% if at.v6 %} v6only{% endif %}{% if kind == "https" %} ssl crt {{ work }}/both.pem alpn http/1.1{% endif %}

    http-request return status 404 content-type "text/plain" string "there is no such page" unless { url "/" "{{ path }}" }
    http-request return status 200 content-type "text/html; charset=utf-8" hdr cache-control no-store hdr sixwalk-stamp "%[date]" hdr sixwalk-served-by "{{ node }}/{{ service }}/{{ at.family }}" lf-file {{ work }}/page-{{ at.family }}.html
{% endfor %}
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
    gives_up_groups: false,
};
