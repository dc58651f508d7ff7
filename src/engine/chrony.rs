//! chrony, as time server. With `-x` it never sets a clock: that of the lab is that of the machine.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = "\
port {{ port }}
{% for at in listen %}
bindaddress {{ at.address }}
{% endfor %}
{% for net in admits %}
allow {{ net.net }}
{% else %}
{% if v4 %}
allow 0.0.0.0/0
{% endif %}
{% if v6 %}
allow ::/0
{% endif %}
{% endfor %}
local stratum 2
cmdport 0
bindcmdaddress /
pidfile {{ work }}/chronyd.pid
";

pub(super) static ENGINE: Engine = Engine {
    name: "chrony",
    parts: &[Part::Service(ServiceKind::Ntp)],
    package: "chrony",
    program: "chronyd",
    version: &["-v"],
    command: &[
        "-d",
        "-x",
        "-u",
        "root",
        "{% if not v6 %}-4{% elif not v4 %}-6{% endif %}",
        "-f",
        "{{ work }}/chrony.conf",
    ],
    files: &[("chrony.conf", CONF)],
    folders: &[],
    passes_on: false,
    relays: false,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: false,
};
