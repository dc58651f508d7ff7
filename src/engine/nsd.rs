//! NSD: an authoritative name server that does nothing else.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = "\
server:
    server-count: 1
    port: {{ port }}
{% for at in listen %}
    ip-address: {{ at.address }}
{% endfor %}
    username: \"\"
    chroot: \"\"
    database: \"\"
    pidfile: \"\"
    zonesdir: \"{{ work }}\"
    zonelistfile: \"{{ work }}/zone.list\"
    xfrdfile: \"{{ work }}/xfrd.state\"
    xfrdir: \"{{ work }}\"
    round-robin: no
remote-control:
    control-enable: no
{% for zone in zones %}
zone:
    name: \"{{ zone.origin }}\"
    zonefile: \"{{ zone.file }}\"
{% for net in admits %}
    allow-query: {{ net.net }} NOKEY
{% endfor %}
{% endfor %}
";

pub(super) static ENGINE: Engine = Engine {
    name: "nsd",
    parts: &[Part::Service(ServiceKind::Dns)],
    package: "nsd",
    program: "nsd",
    version: &["-v"],
    command: &["-d", "-c", "{{ work }}/nsd.conf"],
    files: &[("nsd.conf", CONF)],
    folders: &["zones"],
    passes_on: false,
    relays: false,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: false,
};
