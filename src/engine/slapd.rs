//! slapd of OpenLDAP, as directory: it lets everybody bind and shows its root DSE, with what it holds by the names that the
//! testbed publishes it under, and speaks TLS if asked to. It holds no entries.

use super::{Engine, Part};
use crate::model::service::ServiceKind;

/// The one attribute that names of domains are made of (RFC 4519 section 2.4) comes with a schema; nothing else of that is
/// needed.
const CONF: &str = "\
TLSCertificateFile {{ work }}/certificate.pem
TLSCertificateKeyFile {{ work }}/key.pem
attributetype ( 0.9.2342.19200300.100.1.25 NAME ( 'dc' 'domainComponent' ) EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
{% for context in contexts %}
database ldif
suffix \"{{ context }}\"
directory {{ work }}/held
{% endfor %}
";

pub(super) static ENGINE: Engine = Engine {
    name: "slapd",
    parts: &[Part::Service(ServiceKind::Ldap)],
    package: "slapd",
    program: "slapd",
    version: &["-VV"],
    command: &[
        "-d",
        "none",
        "-f",
        "{{ work }}/slapd.conf",
        "-h",
        "{% for at in listen %}ldap://{{ at.host }}:{{ port }}/{% if not loop.last %} {% endif %}{% endfor %}",
    ],
    files: &[("slapd.conf", CONF)],
    folders: &["held"],
    passes_on: false,
    relays: false,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: false,
};
