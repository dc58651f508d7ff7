//! Kea: a DHCPv6 server. It relays nothing. Every host has its address by reservation and nobody else has one, as with the
//! built-in server; a link without reservations gives what is beside addresses.

use super::{Engine, Part};
use crate::model::function::Function;

/// A link-local address that is in duplicate address detection cannot be bound to; it is tried anew for five seconds.
const CONF: &str = r#"{ "Dhcp6": {
  "interfaces-config": {
    "interfaces": [{% for at in asked_at %}{{ '' if loop.first else ', ' }}"{{ at }}"{% endfor %}],
    "service-sockets-max-retries": 50,
    "service-sockets-retry-wait-time": 100
  },
  "lease-database": { "type": "memfile", "persist": false },
  "server-id": { "type": "LL", "htype": 1, "identifier": "{{ mac | replace(":", "") }}", "persist": false },
  "preferred-lifetime": 3600,
  "valid-lifetime": 7200,
  "renew-timer": 1800,
  "rebind-timer": 2880,
  "host-reservation-identifiers": ["duid"],
  "subnet6": [
{% for link in leased %}
    {
      "id": {{ loop.index }},
      "subnet": "{{ link.prefix }}",
{% if link.interface %}
      "interface": "{{ link.interface }}",
{% endif %}
      "option-data": [
{% if link.dns %}
        { "name": "dns-servers", "data": "{{ link.dns | join(", ") }}" }{% if link.search %},{% endif %}

{% endif %}
{% if link.search %}
        { "name": "domain-search", "data": "{{ link.search | join(", ") }}" }
{% endif %}
      ],
      "reservations": [
{% for host in link.leases %}
        { "duid": "{{ host.duid }}", "ip-addresses": ["{{ host.address }}"] }{% if not loop.last %},{% endif %}

{% endfor %}
      ]
    }{% if not loop.last %},{% endif %}

{% endfor %}
  ],
  "loggers": [
    { "name": "kea-dhcp6", "severity": "WARN", "output_options": [{ "output": "stdout" }] }
  ]
} }
"#;

pub(super) static ENGINE: Engine = Engine {
    name: "kea",
    parts: &[Part::Function(Function::Dhcpv6)],
    package: "kea-dhcp6-server",
    program: "kea-dhcp6",
    version: &["-v"],
    command: &["-c", "{{ work }}/kea-dhcp6.json"],
    files: &[("kea-dhcp6.json", CONF)],
    folders: &["kea", "lock/kea"],
    passes_on: false,
    relays: false,
    pref64_after: None,
    needs_glue: false,
    gives_up_groups: false,
};
