//! The management agent (SNMPv2c, RFC 3416): says what it is, and on which interface it has an address (RFC 4293).

use std::net::IpAddr;

use super::premises::Premises;
use crate::{
    model::node::{Address, Interface},
    wire::snmp::{self, Object, Value},
};

/// The reply to a request; `None` where it is none, or does not know the community, as agents do (RFC 3584 section 5.2).
/// An agent from before RFC 4293 has a table for IPv4 alone.
pub(super) fn answer(request: &[u8], premises: &Premises, is_old: bool) -> Option<Vec<u8>> {
    let get = snmp::read_get(request).ok().filter(snmp::Get::may_read)?;
    let node = &premises.node;
    Some(get.answer(|object| match object {
        Object::System => Value::Text(format!("{} of the testbed: {}", node.name, node.title)),
        Object::Interface(address) if is_old && address.is_ipv6() => Value::Nothing,
        Object::Interface(address) => {
            number_of(&node.interfaces, address).map_or(Value::Nothing, Value::Number)
        }
    }))
}

/// The place of the interface that has an address, in the order of the testbed.
fn number_of(interfaces: &[Interface], address: IpAddr) -> Option<u32> {
    let has =
        |interface: &Interface| interface.addresses.iter().map(Address::ip).any(|ip| ip == address);
    u32::try_from(interfaces.iter().position(has)? + 1).ok()
}
