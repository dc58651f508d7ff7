//! Knot DNS: the lightest of the authoritative name servers.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = "\
server:
    rundir: {{ work }}
    listen: [{% for at in listen %}{{ at.address }}@{{ port }}{% if not loop.last %}, {% endif %}{% endfor %}]
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {{ work }}/db
    journal-db-max-size: 8M
    kasp-db-max-size: 8M
    timer-db-max-size: 8M
log:
  - target: stderr
    any: warning
{% if admits %}
mod-queryacl:
  - id: users
    address: [{% for net in admits %}{{ net.net }}{% if not loop.last %}, {% endif %}{% endfor %}]
template:
  - id: default
    global-module: mod-queryacl/users
{% endif %}
{% if zones %}
zone:
{% for zone in zones %}
  - domain: {{ zone.origin }}.
    file: {{ zone.file }}
    zonefile-sync: -1
    journal-content: none
{% endfor %}
{% endif %}
";

pub(super) static ENGINE: Engine = Engine {
    name: "knot",
    parts: &[Part::Service(ServiceKind::Dns)],
    package: "knot",
    program: "knotd",
    version: &["--version"],
    command: &["-c", "{{ work }}/knot.conf"],
    files: &[("knot.conf", CONF)],
    folders: &["db", "zones"],
    passes_on: false,
    relays: false,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: false,
};
