//! radvd: Router Advertisements. It says farewell when it ends, as the built-in router does.

use super::{Engine, Part};
use crate::model::function::Function;

const CONF: &str = "\
{% for link in announcements %}
interface {{ link.interface }} {
    AdvSendAdvert on;
    MinRtrAdvInterval {{ link.least_s }};
    MaxRtrAdvInterval {{ link.most_s }};
    AdvManagedFlag {{ 'on' if link.managed else 'off' }};
    AdvOtherConfigFlag {{ 'on' if link.other else 'off' }};
    AdvDefaultLifetime {{ link.lifetime_s }};
{% if link.standby %}
    AdvDefaultPreference low;
{% endif %}
    AdvCurHopLimit {{ link.hop_limit }};
    AdvSourceLLAddress on;
{% if link.mtu %}
    AdvLinkMTU {{ link.mtu }};
{% endif %}
{% for it in link.prefixes %}
    prefix {{ it.prefix }} {
        AdvOnLink {{ 'on' if it.on_link else 'off' }};
        AdvAutonomous {{ 'on' if it.autonomous else 'off' }};
        AdvValidLifetime {{ it.valid_s }};
        AdvPreferredLifetime {{ it.preferred_s }};
    };
{% endfor %}
{% if link.dns %}
    RDNSS{% for server in link.dns %} {{ server }}{% endfor %} { AdvRDNSSLifetime {{ link.dns_lifetime_s }}; };
{% endif %}
{% for it in link.pref64 %}
    nat64prefix {{ it.prefix }} { AdvValidLifetime {{ it.lifetime_s }}; };
{% endfor %}
};
{% endfor %}
";

pub(super) static ENGINE: Engine = Engine {
    name: "radvd",
    parts: &[Part::Function(Function::Advertisements)],
    package: "radvd",
    program: "radvd",
    version: &["--version"],
    command: &["-n", "-C", "{{ work }}/radvd.conf", "-m", "stderr", "-p", "{{ work }}/radvd.pid"],
    files: &[("radvd.conf", CONF)],
    folders: &[],
    passes_on: false,
    relays: false,
    pref64_after: Some((2, 19)),
    needs_glue: false,
    gives_up_groups: false,
};
