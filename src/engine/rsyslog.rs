//! rsyslog, as sink of log messages (RFC 5426).

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = r#"global(net.enableDNS="off" workDirectory="{{ work }}")
module(load="imudp")
{% for at in listen %}
input(type="imudp" address="{{ at.address }}" port="{{ port }}" ruleset="sink")
{% endfor %}
template(name="line" type="string" string="%fromhost-ip% %hostname% %rawmsg:::drop-last-lf%\n")
ruleset(name="sink") {
    action(type="omfile" file="{{ work }}/{{ log }}" template="line")
}
"#;

pub(super) static ENGINE: Engine = Engine {
    name: "rsyslog",
    parts: &[Part::Service(ServiceKind::Syslog)],
    package: "rsyslog",
    program: "rsyslogd",
    version: &["-v"],
    command: &["-n", "-iNONE", "-f", "{{ work }}/rsyslog.conf"],
    files: &[("rsyslog.conf", CONF)],
    folders: &[],
    passes_on: false,
    relays: false,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: false,
};
