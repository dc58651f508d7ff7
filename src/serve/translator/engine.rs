//! One translator at work, built in or a program.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use super::carrier::{Carrier, Machine};
use crate::{
    model::{
        family::Family,
        fault::TranslationFault,
        translation::{Mapping, Timers, Translator, TranslatorState},
    },
    serve::tube::Tube,
    wire::{
        icmp, packet,
        translate::{self, Datagram, Dropped},
    },
};

/// An address of no pool: it is for benchmarks (RFC 2544, RFC 6890).
const NOBODYS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The longest frame.
const LONGEST: usize = 65_600;

/// What a translator knows, for itself and for whoever looks at it.
pub(super) struct Knowledge {
    pub(super) told: Translator,
    began: Instant,
    by: By,
    faults: Mutex<Vec<TranslationFault>>,
    translated: AtomicU64,
    dropped: AtomicU64,
}

/// Who translates.
pub(super) enum By {
    /// What is built in.
    BuiltIn(Box<Mutex<translate::Translator>>),
    /// A program.
    Program(Arc<Carrier>, Mutex<FirstSeen>),
}

/// When something came of a packet of each user for the first time, by what hosts see of the user: the log of a program tells
/// no times.
pub(super) type FirstSeen = BTreeMap<Ipv4Addr, u64>;

impl By {
    /// What is built in, unless there is a program.
    pub(super) fn of(told: &Translator, carrier: Option<Arc<Carrier>>) -> Self {
        match carrier {
            Some(carrier) => Self::Program(carrier, Mutex::default()),
            None => Self::BuiltIn(Box::new(Mutex::new(translate::Translator::new(
                told,
                Timers::default(),
            )))),
        }
    }
}

/// What is done with a packet before a program gets it.
enum Gate {
    Passes,
    Falls,
    Refused(Option<Vec<u8>>),
}

impl Knowledge {
    pub(super) fn new(told: Translator, by: By) -> Arc<Self> {
        Arc::new(Self {
            told,
            began: Instant::now(),
            by,
            faults: Mutex::default(),
            translated: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Vec<TranslationFault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The timers, shortened where one of these faults is planted.
    fn timers(&self, shortened_by: &[TranslationFault]) -> Timers {
        const SHORT_S: u64 = 30;
        let usual = Timers::default();
        let short = self.faults().iter().any(|fault| shortened_by.contains(fault));
        if short { Timers { udp_s: SHORT_S, ..usual } } else { usual }
    }

    /// Those that it says.
    fn said(&self) -> Timers {
        self.timers(&[TranslationFault::ShortTimers])
    }

    /// Those that it keeps.
    fn kept(&self) -> Timers {
        self.timers(&[TranslationFault::ShortTimers, TranslationFault::ForgetsEarly])
    }

    pub(super) fn state(&self) -> TranslatorState {
        let logs = !self.faults().contains(&TranslationFault::NoLog);
        let (engine, timers) = match &self.by {
            By::BuiltIn(_) => ("NAT64, built in".to_owned(), Some(self.said())),
            By::Program(carrier, _) => (carrier.title(), None),
        };
        TranslatorState {
            told: self.told.clone(),
            engine,
            timers,
            mappings: if logs { self.mappings() } else { Vec::new() },
            translated: self.translated.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    /// Who stands behind which address of the pool, as it tells.
    fn mappings(&self) -> Vec<Mapping> {
        let mut mappings = self.known();
        if self.faults().contains(&TranslationFault::LogsOutside) {
            for mapping in &mut mappings {
                mapping.shown.0 = NOBODYS;
            }
        }
        mappings
    }

    fn known(&self) -> Vec<Mapping> {
        match &self.by {
            By::BuiltIn(translator) => held(translator).mappings(self.began.elapsed()),
            By::Program(carrier, first) => {
                let (first, now) = (held(first), self.now_ms());
                let mapping = |(shown, user): (Ipv4Addr, Ipv6Addr)| Mapping {
                    what: None,
                    user: (user, 0),
                    shown: (shown, 0),
                    since_ms: first.get(&shown).copied().unwrap_or(now),
                };
                carrier.assigned().into_iter().map(mapping).collect()
            }
        }
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a program gets a packet. What is never translated to is refused before it: it knows only what it translates.
    fn admit(&self, packet: &[u8]) -> Gate {
        if self.faults().iter().any(|fault| leaves_out(*fault, packet)) {
            self.drop_one();
            return Gate::Falls;
        }
        let host = Datagram::read_quoted(packet).ok().and_then(|datagram| {
            let IpAddr::V6(to) = datagram.destination else { return None };
            self.told.prefix.extract(to)
        });
        let is_open = self.faults().contains(&TranslationFault::Open);
        let refused =
            host.is_some_and(|host| self.told.refuses.iter().any(|net| net.contains(&host)));
        if refused && !is_open {
            self.drop_one();
            return Gate::Refused(translate::prohibited(packet, self.told.gateway));
        }
        Gate::Passes
    }

    /// Notes what a program has made of a packet.
    fn note_made(&self, packet: &[u8]) {
        self.translated.fetch_add(1, Ordering::Relaxed);
        let By::Program(_, first) = &self.by else { return };
        if let (Some(Family::V4), Some(source)) = (
            packet::family(packet),
            packet.get(12..16).and_then(|octets| octets.first_chunk::<4>()),
        ) {
            held(first).entry(Ipv4Addr::from(*source)).or_insert_with(|| self.now_ms());
        }
    }

    /// What comes of a packet, where the translator is built in.
    fn take(&self, translator: &Mutex<translate::Translator>, packet: &[u8]) -> Vec<Vec<u8>> {
        let spoilt = self.faults().iter().any(|fault| leaves_out(*fault, packet));
        let made = if spoilt {
            None
        } else {
            let open = self.faults().contains(&TranslationFault::Open);
            let refuses = if open { &[][..] } else { &self.told.refuses };
            let timers = self.kept();
            let mut translator = held(translator);
            translator.keep(timers);
            let made = translator.take(packet, refuses, self.began.elapsed());
            if made == Err(Dropped::Address) {
                self.drop_one();
                return translate::prohibited(packet, self.told.gateway).into_iter().collect();
            }
            made.ok()
        };
        let counter = if made.is_some() { &self.translated } else { &self.dropped };
        counter.fetch_add(1, Ordering::Relaxed);
        made.unwrap_or_default()
    }
}

fn held<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands what has been made to the gateway. What its link does not take is lost, as on any link.
fn put(tube: &Tube, made: &[u8]) {
    if let Some(family) = packet::family(made) {
        let _ = tube.put(made, family);
    }
}

/// Takes and puts until its link is gone.
pub(super) async fn run(knowledge: Arc<Knowledge>, tube: Tube) {
    let By::BuiltIn(translator) = &knowledge.by else { return };
    let mut frame = vec![0; LONGEST];
    loop {
        match tube.take(&mut frame).await {
            Ok(packet) => {
                knowledge.take(translator, packet).iter().for_each(|made| put(&tube, made));
            }
            // The link has been taken away: there is nothing more to translate.
            Err(error) if is_passing(&error) => {}
            Err(_) => return,
        }
    }
}

/// Passes on between the gateway and a program, until one of them is gone.
pub(super) async fn pass_on(
    knowledge: Arc<Knowledge>,
    tube: Tube,
    machine: Machine,
    carrier: Arc<Carrier>,
) {
    let (mut frame, mut made) = (vec![0; LONGEST], vec![0; LONGEST]);
    let Machine { process, device } = machine;
    let ending = process.ending();
    tokio::pin!(ending);
    loop {
        tokio::select! {
            taken = tube.take(&mut frame) => match taken {
                Ok(packet) => match (knowledge.admit(packet), packet::family(packet)) {
                    // What the program has no room for is lost, as on any link.
                    (Gate::Passes, Some(family)) => drop(device.put(packet, family)),
                    (Gate::Refused(Some(answer)), _) => put(&tube, &answer),
                    _ => {}
                },
                Err(error) if is_passing(&error) => {}
                Err(_) => return,
            },
            Ok(length) = device.take(&mut made) => {
                knowledge.note_made(&made[..length]);
                put(&tube, &made[..length]);
            }
            how = &mut ending => {
                carrier.career.lose(&format!("has ended by itself ({how})"));
                return;
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENETDOWN)
}

/// Whether a fault concerns a packet.
fn leaves_out(fault: TranslationFault, packet: &[u8]) -> bool {
    const UDP: u8 = 17;
    let Ok(datagram) = Datagram::read_quoted(packet) else { return false };
    let family = datagram.family();
    let kind = (datagram.protocol == icmp::protocol(family))
        .then(|| datagram.payload.first_chunk::<2>())
        .flatten();
    match fault {
        TranslationFault::Stopped => true,
        TranslationFault::Open
        | TranslationFault::NoLog
        | TranslationFault::ShortTimers
        | TranslationFault::ForgetsEarly
        | TranslationFault::LogsOutside => false,
        TranslationFault::NoFragments => datagram.part.is_some(),
        TranslationFault::NoUdp => datagram.protocol == UDP,
        TranslationFault::NoEcho => kind.is_some_and(|[kind, _]| {
            [icmp::echo_request_type(family), icmp::echo_reply_type(family)].contains(kind)
        }),
        TranslationFault::NoTooBig => {
            kind.is_some_and(|[kind, code]| icmp::is_too_big(family, *kind, *code))
        }
    }
}
