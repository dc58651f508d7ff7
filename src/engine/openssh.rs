//! The SSH server of OpenSSH. It shows its identification and its host key, the same in every phase, and lets nobody in.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = "\
AddressFamily {% if v4 and v6 %}any{% elif v6 %}inet6{% else %}inet{% endif %}

{% for at in listen %}
ListenAddress {{ at.host }}:{{ port }}
{% endfor %}
HostKey {{ work }}/host_key
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication no
PermitRootLogin no
UseDNS no
LogLevel ERROR
LoginGraceTime 20
MaxStartups 1000
";

pub(super) static ENGINE: Engine = Engine {
    name: "openssh",
    parts: &[Part::Service(ServiceKind::Ssh)],
    package: "openssh-server",
    program: "sshd",
    version: &["-V"],
    command: &["-D", "-e", "-f", "{{ work }}/sshd_config"],
    files: &[("sshd_config", CONF)],
    folders: &["sshd"],
    passes_on: false,
    relays: false,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: true,
};
