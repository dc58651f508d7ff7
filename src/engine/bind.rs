//! BIND 9, as authoritative name server or as resolver. It binds to each address of the node by itself, so that it is the
//! one engine of names whose sockets show every address.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

const CONF: &str = "\
options {
    directory \"{{ work }}\";
    managed-keys-directory \"{{ work }}\";
    pid-file none;
    session-keyfile none;
    lock-file none;
    dump-file \"{{ work }}/dump\";
    listen-on port {{ port }} { {% if v4 %}{% for at in listen %}{% if not at.v6 %}{% if at.any %}any; {% else %}{{ at.address }}; {% endif %}{% endif %}{% endfor %}{% else %}none; {% endif %}};
    listen-on-v6 port {{ port }} { {% if v6 %}{% for at in listen %}{% if at.v6 %}{% if at.any %}any; {% else %}{{ at.address }}; {% endif %}{% endif %}{% endfor %}{% else %}none; {% endif %}};
    allow-query { {% for net in admits %}{{ net.net }}; {% else %}any; {% endfor %}};
    notify no;
    empty-zones-enable no;
    dnssec-validation no;
    minimal-responses yes;
{% if kind == 'resolver' %}
    recursion yes;
    allow-recursion { {% for net in admits %}{{ net.net }}; {% else %}any; {% endfor %}};
    max-cache-ttl 0;
    max-ncache-ttl 0;
    servfail-ttl 0;
    lame-ttl 0;
    qname-minimization off;
    synth-from-dnssec no;
{% if synthesis %}
    dns64 {{ synthesis.prefix }} { clients { any; }; };
{% endif %}
{% else %}
    recursion no;
{% endif %}
};
controls { };
{% if kind == 'resolver' %}
zone \".\" { type primary; file \"{{ work }}/root.zone\"; };
zone \"ipv4only.arpa\" { type primary; file \"{{ work }}/ipv4only.zone\"; };
{% for zone in delegations %}
zone \"{{ zone.origin }}\" { type static-stub; server-addresses { {% for server in zone.servers %}{{ server }}; {% endfor %}}; };
{% endfor %}
{% else %}
{% for zone in zones %}
zone \"{{ zone.origin }}\" { type primary; file \"{{ zone.file }}\"; check-integrity no; };
{% endfor %}
{% endif %}
";

/// Nothing is below the root but the zones of the testbed: a question for anything else must not go out.
const ROOT: &str =
    "$TTL 5\n. SOA . . 1 3600 600 86400 5\n. NS localhost.\nlocalhost. A 127.0.0.1\n";

/// The name by which hosts learn the translation prefix (RFC 7050, RFC 8880): nobody else is asked for it.
const DISCOVERY: &str = "\
$TTL 5
ipv4only.arpa. SOA . . 1 3600 600 86400 5
ipv4only.arpa. NS localhost.
ipv4only.arpa. A 192.0.0.170
ipv4only.arpa. A 192.0.0.171
{% if synthesis %}
{% for address in synthesis.discovery %}
ipv4only.arpa. AAAA {{ address }}
{% endfor %}
{% endif %}
";

pub(super) static ENGINE: Engine = Engine {
    name: "bind",
    parts: &[Part::Service(ServiceKind::Dns), Part::Service(ServiceKind::Resolver)],
    package: "bind9",
    program: "named",
    version: &["-v"],
    command: &["-g", "-n", "1", "-c", "{{ work }}/named.conf"],
    files: &[("named.conf", CONF), ("root.zone", ROOT), ("ipv4only.zone", DISCOVERY)],
    folders: &["zones"],
    passes_on: false,
    relays: false,
    pref64_after: None,
    needs_glue: true,
    gives_up_groups: false,
};
