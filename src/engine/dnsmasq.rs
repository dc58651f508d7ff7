//! dnsmasq, as resolver: it forwards questions to the servers of each zone of the testbed.

use super::Engine;
use crate::model::service::ServiceKind;

const CONF: &str = "\
port={{ port }}
pid-file=
user=root
group=root
no-hosts
no-resolv
bind-interfaces
cache-size=0
{% for at in listen %}
listen-address={{ at.address }}
{% endfor %}
{% for zone in delegations %}
{% for server in zone.servers %}
server=/{{ zone.origin }}/{{ server }}
{% endfor %}
{% endfor %}
";

pub(super) static ENGINE: Engine = Engine {
    name: "dnsmasq",
    kinds: &[ServiceKind::Resolver],
    package: "dnsmasq-base",
    program: "dnsmasq",
    version: &["--version"],
    // As an ordinary user it cannot change to a group, which only its mode for finding mistakes leaves undone.
    command: &[
        "{% if rootless %}-d{% else %}-k{% endif %}",
        "--log-facility=-",
        "-C",
        "{{ work }}/dnsmasq.conf",
    ],
    files: &[("dnsmasq.conf", CONF)],
    folders: &[],
    only_for_root: None,
};
