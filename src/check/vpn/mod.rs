//! `vpn.`: tunnels between two gateways (S2 2.2, 2.3).

mod canary;

mod matrix;
mod no_clear;
mod fail_open;
mod policy_enforced;
mod inner_mtu;
mod icmp_through;
mod qos_and_hoplimit;
mod dns_inside;
mod rekey_both;
mod performance_parity;
mod outer_family_failover;
mod mixed_family_coupling;
mod default_subnet_family;
mod plug_and_play;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &matrix::Matrix,
    &no_clear::NoClear,
    &fail_open::FailOpen,
    &policy_enforced::PolicyEnforced,
    &inner_mtu::InnerMtu,
    &icmp_through::IcmpThrough,
    &qos_and_hoplimit::QosAndHopLimit,
    &dns_inside::DnsInside,
    &rekey_both::RekeyBoth,
    &performance_parity::PerformanceParity,
    &outer_family_failover::OuterFamilyFailover,
    &mixed_family_coupling::MixedFamilyCoupling,
    &default_subnet_family::DefaultSubnetFamily,
    &plug_and_play::PlugAndPlay,
];
