//! snmpd of Net-SNMP, as management agent. It tells what the node is and which addresses it has, to everybody whom its list
//! lets in and who knows the community of the testbed.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = "\
[snmp] persistentDir {{ work }}/state
[snmp] noPersistentLoad yes
[snmp] noPersistentSave yes
agentaddress {% for at in listen %}{{ 'udp6' if at.v6 else 'udp' }}:{{ at.host }}:{{ port }}{% if not loop.last %},{% endif %}{% endfor %}

{% for net in admits %}
{{ 'rocommunity6' if net.v6 else 'rocommunity' }} public {{ net.net }}
{% else %}
rocommunity public default
rocommunity6 public default
{% endfor %}
dontLogTCPWrappersConnects yes
";

pub(super) static ENGINE: Engine = Engine {
    name: "snmpd",
    parts: &[Part::Service(ServiceKind::Snmp)],
    package: "snmpd",
    program: "snmpd",
    version: &["-v"],
    // Without the port of SMUX (RFC 1227), which nobody has planned.
    command: &["-f", "-LE", "4", "-I", "-smux", "-C", "-c", "{{ work }}/snmpd.conf"],
    files: &[("snmpd.conf", CONF)],
    folders: &["state"],
    needs_glue: false,
    gives_up_groups: false,
    passes_on: false,
    relays: false,
    pref64_after: None,
};
