//! `svc.`: the services of the infrastructure, by their own protocols.

pub(super) mod listen_families;
mod hostkey_parity;
mod ntp_v6;
mod ldap_v6;
pub(super) mod syslog_v6;
pub(super) mod dhcp;
mod snmp_v6;
mod monitoring_agent;
mod radius_v6;
mod smtp_v6;
mod update_and_pki_v6;
mod backend_flows;
mod multicast;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &listen_families::ListenFamilies,
    &hostkey_parity::HostkeyParity,
    &ntp_v6::NTP,
    &ldap_v6::Ldap,
    &syslog_v6::Syslog,
    &dhcp::Dhcp,
    &snmp_v6::Snmp,
    &monitoring_agent::MonitoringAgent,
    &radius_v6::RADIUS,
    &smtp_v6::Smtp,
    &update_and_pki_v6::UpdateAndPki,
    &backend_flows::BACKEND_FLOWS,
    &multicast::Multicast,
];
