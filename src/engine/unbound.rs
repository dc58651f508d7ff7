//! Unbound: a recursive resolver. There is no root in a lab: it asks the servers of each zone of the testbed, and nobody
//! about anything else. It keeps nothing, so that every answer is one of this moment, as that of the built-in resolver.
//!
//! What it holds itself it does not synthesize from, so that the name by which hosts learn the translation prefix is told
//! it with its addresses. Nobody could vouch for synthesized records, so that there is no validator.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = "\
server:
    directory: \"{{ work }}\"
    chroot: \"\"
    username: \"\"
    pidfile: \"\"
    use-syslog: no
    logfile: \"\"
    verbosity: 1
    num-threads: 1
    msg-cache-size: 1m
    rrset-cache-size: 1m
    key-cache-size: 64k
    neg-cache-size: 64k
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    infra-host-ttl: 1
    port: {{ port }}
{% for at in listen %}
    interface: {{ at.address }}
{% endfor %}
{% for net in admits %}
    access-control: {{ net.net }} allow
{% endfor %}
    access-control: 0.0.0.0/0 {{ 'deny' if admits else 'allow' }}
    access-control: ::/0 {{ 'deny' if admits else 'allow' }}
{% if synthesis %}
    module-config: \"dns64 iterator\"
    dns64-prefix: {{ synthesis.prefix }}
    local-zone: \"{{ synthesis.reverse }}.\" transparent
{% else %}
    module-config: \"iterator\"
{% endif %}
    local-zone: \"ipv4only.arpa.\" static
    local-data: \"ipv4only.arpa. A 192.0.0.170\"
    local-data: \"ipv4only.arpa. A 192.0.0.171\"
{% if synthesis %}
{% for address in synthesis.discovery %}
    local-data: \"ipv4only.arpa. AAAA {{ address }}\"
{% endfor %}
{% endif %}
    root-hints: \"\"
    target-fetch-policy: \"0 0 0 0 0\"
    qname-minimisation: no
    do-not-query-localhost: no
    local-zone: \".\" refuse
{% for zone in delegations %}
    local-zone: \"{{ zone.origin }}.\" transparent
{% endfor %}
remote-control:
    control-enable: no
{% for zone in delegations %}
stub-zone:
    name: \"{{ zone.origin }}.\"
    stub-prime: no
{% for server in zone.servers %}
    stub-addr: {{ server }}
{% endfor %}
{% endfor %}
";

pub(super) static ENGINE: Engine = Engine {
    name: "unbound",
    parts: &[Part::Service(ServiceKind::Resolver)],
    package: "unbound",
    program: "unbound",
    version: &["-V"],
    command: &["-d", "-p", "-c", "{{ work }}/unbound.conf"],
    files: &[("unbound.conf", CONF)],
    folders: &[],
    passes_on: false,
    relays: false,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: false,
};
