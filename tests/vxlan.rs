//! The built-in VXLAN beside that of the kernel: a gateway of ours and a device of kind `vxlan` carry each other's packets, of
//! both families, over both families. So the one is checked by the other, and not by itself. And what the kernel refuses one
//! tunnel takes nothing from another.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    sync::Arc,
    time::Duration,
};

use sixwalk::{
    model::{
        mac::Mac,
        name::TunnelName,
        step::Change,
        tunnel::{Relation, TunnelAct, TunnelEnd, TunnelKind},
    },
    net::{links, namespace::Namespace},
    serve::{
        tube::Mouth,
        tunnel::{Keys, TunnelHost},
    },
};

mod support;

const OURS: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const IDENTIFIER: u16 = 0x0102;

fn ip(arguments: &str) -> io::Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "ip {arguments}: {said}");
    Ok(())
}

/// The index of the port of the wire: that of `vpn0` and its far end are chosen by us.
const PORT: u32 = links::FIRST;

/// A gateway with an interface whose far end a program reads, and a link to the peer.
fn gateway(peer: &Namespace) -> io::Result<(Namespace, Namespace)> {
    let (gateway, wire) = (Namespace::create()?, Namespace::create()?);
    let near = links::End { name: "port", index: PORT, mac: None };
    let far = links::End { name: "vpn0", index: PORT, mac: Some(OURS) };
    let cable = links::add_cable(near, None, far, &gateway, 1400);
    wire.run(|| {
        sixwalk::net::netlink::Netlink::open_here()?.ask(&cable).map_err(io::Error::other)
    })?;
    links::as_tunnel(&gateway, "vpn0")?;
    let near = links::End { name: "wan", index: PORT + 1, mac: None };
    let far = links::End { name: "wan", index: PORT + 1, mac: None };
    let cable = links::add_cable(near, None, far, peer, 1500);
    gateway.run(|| {
        sixwalk::net::netlink::Netlink::open_here()?.ask(&cable).map_err(io::Error::other)?;
        for line in [
            "address add 192.0.2.1/24 dev wan",
            "address add 2001:db8:f::1/64 dev wan nodad",
            "link set wan up",
            "link set vpn0 up",
            "address add 10.1.0.1/24 dev vpn0",
            "address add 2001:db8:1::1/64 dev vpn0 nodad",
            "route add 10.2.0.0/24 dev vpn0",
            "route add 2001:db8:2::/64 dev vpn0",
        ] {
            ip(line)?;
        }
        Ok(())
    })?;
    Ok((gateway, wire))
}

/// The other end, of the kernel. It sends from ports that it chooses by what is inside.
fn kernels_end(outer: [&str; 2]) -> io::Result<()> {
    let [ours, theirs] = outer;
    for line in [
        format!(
            "link add vx0 address {THEIRS} type vxlan id {IDENTIFIER} local {theirs} remote {ours} dstport 4789 dev wan"
        ),
        "link set vx0 up".to_owned(),
        "address add 10.2.0.1/24 dev vx0".to_owned(),
        "address add 2001:db8:2::1/64 dev vx0 nodad".to_owned(),
        "route add 10.1.0.0/24 dev vx0".to_owned(),
        "route add 2001:db8:1::/64 dev vx0".to_owned(),
        format!("neighbour add 10.1.0.1 lladdr {OURS} dev vx0 nud permanent"),
        format!("neighbour add 2001:db8:1::1 lladdr {OURS} dev vx0 nud permanent"),
    ] {
        ip(&line)?;
    }
    Ok(())
}

fn end(tunnel: &TunnelName, outer: [&str; 2]) -> TunnelEnd {
    let net = |text: &str| text.parse().expect("a prefix");
    let at = |text: &str| SocketAddr::new(text.parse().expect("an address"), 4789);
    TunnelEnd {
        tunnel: tunnel.clone(),
        kind: TunnelKind::Vxlan,
        number: IDENTIFIER,
        engine: None,
        interface: "vpn0".parse().expect("a name"),
        peer: "kernel".parse().expect("a name"),
        macs: Some([OURS, THEIRS]),
        begins: true,
        local: at(outer[0]),
        remote: at(outer[1]),
        spare: Vec::new(),
        relations: vec![
            Relation { here: net("10.1.0.0/24"), there: net("10.2.0.0/24") },
            Relation { here: net("2001:db8:1::/64"), there: net("2001:db8:2::/64") },
        ],
        within: Vec::new(),
        beyond: Vec::new(),
    }
}

fn socket(address: &str) -> io::Result<UdpSocket> {
    let address: IpAddr = address.parse().expect("an address");
    let socket = UdpSocket::bind((address, 7777))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(socket)
}

/// That a datagram goes from one end to the other and back.
fn there_and_back(gateway: &Namespace, peer: &Namespace, inner: [&str; 2], size: usize) {
    let here = gateway.run(|| socket(inner[0])).expect("an address of the gateway");
    let there = peer.run(|| socket(inner[1])).expect("an address of the peer");
    let (payload, mut buffer) = (vec![0x2a; size], vec![0; 2048]);
    here.send_to(&payload, there.local_addr().expect("bound")).expect("a way");
    let (length, from) = there.recv_from(&mut buffer).expect("the kernel takes what we wrap");
    assert_eq!((&buffer[..length], from), (&payload[..], here.local_addr().expect("bound")));
    there.send_to(&payload, from).expect("a way");
    let (length, from) = here.recv_from(&mut buffer).expect("we take what the kernel wraps");
    assert_eq!((length, from), (size, there.local_addr().expect("bound")));
}

/// A host of a gateway with one interface, which all of its tunnels have.
fn host(gateway: &Namespace, wire: Namespace, tunnels: [&TunnelName; 2]) -> TunnelHost {
    let mouth = Mouth { wire, port: PORT, mac: OURS };
    TunnelHost::new(
        "gateway".parse().expect("a name"),
        gateway.clone(),
        Arc::new(Keys::default()),
        sixwalk::serve::Shared::new(),
        tunnels.map(|tunnel| (tunnel.clone(), mouth.clone())).into(),
    )
}

/// The VXLAN between us and the kernel, beside a tunnel that the kernel is to carry by WireGuard, which it may not have.
fn carries(outer: [&'static str; 2]) -> io::Result<()> {
    let peer = Namespace::create()?;
    let (gateway, wire) = gateway(&peer)?;
    peer.run(|| {
        for line in [
            "address add 192.0.2.2/24 dev wan",
            "address add 2001:db8:f::2/64 dev wan nodad",
            "link set wan up",
        ] {
            ip(line)?;
        }
        kernels_end(outer)
    })?;
    // A virtual link would hand over packets without their checksums; a cable does not.
    for interface in ["vx0", "wan"] {
        links::set_offloads(&peer, interface, false)?;
    }
    let tunnel: TunnelName = "frames".parse().expect("a name");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _within = runtime.enter();
    let secret: TunnelName = "secret".parse().expect("a name");
    let host = host(&gateway, wire, [&tunnel, &secret]);
    let open = |end| runtime.block_on(host.apply(&Change::OpenTunnel { end }));
    let (kind, engine) = (TunnelKind::Vpn, Some("wireguard-kernel".parse().expect("a name")));
    let of_kernel = TunnelEnd { kind, engine, ..end(&secret, outer) };
    open(of_kernel).map_err(io::Error::other)?;
    demand_wireguard_or_why(&host);
    // The interface is for one of them at a time.
    runtime.block_on(host.act(&secret, TunnelAct::Stop)).map_err(io::Error::other)?;
    open(end(&tunnel, outer)).map_err(io::Error::other)?;
    for inner in [["10.1.0.1", "10.2.0.1"], ["2001:db8:1::1", "2001:db8:2::1"]] {
        for size in [1, 1300] {
            there_and_back(&gateway, &peer, inner, size);
        }
    }
    let states = host.states();
    let frames = states.iter().find(|state| state.end.tunnel == tunnel).expect("it is open");
    let counters = frames.counters;
    assert!(counters.sent.packets >= 4 && counters.received.packets >= 4, "{counters:?}");
    Ok(())
}

/// That a tunnel is carried by the kernel, or said not to be, with what helps.
fn demand_wireguard_or_why(host: &TunnelHost) {
    let (running, troubles) = (host.states()[0].running, host.troubles());
    match sixwalk::net::wireguard::offered() {
        Ok(()) => assert!(running && troubles.is_empty(), "{troubles:?}"),
        Err(said) => {
            let [(_, why)] = &troubles[..] else { panic!("{troubles:?}") };
            let what = "the engine `wireguard-kernel` of tunnel `secret` at node `gateway` has no device: the kernel makes none \
                        of WireGuard";
            assert!(!running && why.contains(&format!("{what}: {said}; ")), "{why}");
            assert!(why.contains("`modprobe wireguard`"), "{why}");
        }
    }
}

#[test]
fn the_kernel_and_we_carry_each_others_packets() {
    if !support::inside_sandbox("the_kernel_and_we_carry_each_others_packets") {
        return;
    }
    for outer in [["192.0.2.1", "192.0.2.2"], ["2001:db8:f::1", "2001:db8:f::2"]] {
        carries(outer).unwrap_or_else(|error| panic!("over {outer:?}: {error}"));
    }
}
