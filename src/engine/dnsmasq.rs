//! dnsmasq: a DHCPv6 server, and a relay. It answers no names here. Every host has its address by reservation and nobody
//! else has one, as with the built-in server.

use super::{Engine, Part};
use crate::model::function::Function;

/// The enterprise number of its DUID is the one for documentation (RFC 5612); without one, it would be made of the time,
/// and be another in each phase.
const CONF: &str = "\
port=0
no-hosts
no-resolv
log-facility=-
dhcp-leasefile={{ work }}/leases
dhcp-duid=32473,{{ mac }}
{% for link in leased %}
dhcp-range=set:link{{ loop.index }},{{ link.prefix | split(\"/\") | first }},static,64,7200
{% if link.dns %}
dhcp-option=tag:link{{ loop.index }},option6:dns-server,{% for server in link.dns %}{{ '' if loop.first else ',' }}[{{ server }}]{% endfor %}

{% endif %}
{% if link.search %}
dhcp-option=tag:link{{ loop.index }},option6:domain-search,{{ link.search | join(',') }}
{% endif %}
{% for host in link.leases %}
dhcp-host=id:{{ host.duid }},[{{ host.address }}]
{% endfor %}
{% endfor %}
{% for it in carried %}
dhcp-relay={{ it.link }},{{ it.server }}
{% endfor %}
";

pub(super) static ENGINE: Engine = Engine {
    name: "dnsmasq",
    parts: &[Part::Function(Function::Dhcpv6)],
    package: "dnsmasq-base",
    program: "dnsmasq",
    version: &["--version"],
    command: &["-d", "-C", "{{ work }}/dnsmasq.conf"],
    files: &[("dnsmasq.conf", CONF)],
    folders: &[],
    passes_on: false,
    relays: true,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: false,
};
