//! The limits of the network (`grpc.limits`): what one client, or all together, may take.
//!
//! docs/network.md says which attack each one stops. A value outside its bounds is refused; there
//! is no value that turns a limit off.
use std::time::Duration;

use super::reader::{Numbers, Path, Reader, Section};

/// The options of the section.
pub(super) const KEYS: &[&str] = &[
    "max_connections",
    "max_connections_per_address",
    "max_streams",
    "handshake_timeout",
    "frame_timeout",
    "stream_idle_timeout",
    "write_timeout",
    "idle_timeout",
    "max_age",
    "max_age_grace",
    "keepalive_interval",
    "keepalive_timeout",
    "max_header_bytes",
    "max_request_bytes",
    "max_admin_request_bytes",
    "max_response_bytes",
    "max_pending_resets",
    "max_local_resets",
];

/// What clients may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrpcLimits {
    /// Connections at the same time (`max_connections`): 1 to 1 000 000. Default: 10 000. Fewer
    /// where the system allows fewer open files.
    pub connections: u32,
    /// Of one address, or of one network of 64 bits for IPv6 (`max_connections_per_address`): 1 to
    /// 1 000 000. Default: 256.
    pub connections_per_address: u32,
    /// Streams of a connection at the same time (`max_streams`): 1 to 10 000. Default: 128.
    pub streams: u32,
    /// How long a connection may take to begin with TLS and HTTP/2 (`handshake_timeout`): 100ms to
    /// 1m. Default: 5s.
    pub handshake_timeout: Duration,
    /// How long a frame, or the headers of a call, may take once they have begun
    /// (`frame_timeout`): 100ms to 1m. Default: 5s.
    pub frame_timeout: Duration,
    /// How long a call may wait for the client's next message (`stream_idle_timeout`): 100ms to
    /// 24h. Default: 1m.
    pub stream_idle_timeout: Duration,
    /// How long an answer may wait for a client that does not read (`write_timeout`): 100ms to 1h.
    /// Default: 30s.
    pub write_timeout: Duration,
    /// How long a connection may be without a call (`idle_timeout`): 100ms to 24h. Default: 15m.
    pub idle_timeout: Duration,
    /// How long a connection may live (`max_age`): 100ms to 7d. Default: 1h.
    pub age_max: Duration,
    /// How long its calls may go on afterwards (`max_age_grace`): 100ms to 1h. Default: 30s.
    pub age_grace: Duration,
    /// How often a silent connection is asked whether it is alive (`keepalive_interval`): 100ms to
    /// 1h. Default: 20s.
    pub keepalive_interval: Duration,
    /// How long it may take to say so (`keepalive_timeout`): 100ms to 1m. Default: 10s.
    pub keepalive_timeout: Duration,
    /// Bytes of a call's headers (`max_header_bytes`): 1024 to 65 536. Default: 8192.
    pub header_bytes: u32,
    /// Bytes of a player's message (`max_request_bytes`): 1024 to 1 048 576. Default: 16 384.
    pub request_bytes: usize,
    /// Bytes of an administrator's message, which may hold a catalogue
    /// (`max_admin_request_bytes`): 1024 to 67 108 864. Default: 4 194 304.
    pub admin_request_bytes: usize,
    /// Bytes of an answer (`max_response_bytes`): 65 536 to 67 108 864. Default: 1 048 576.
    pub response_bytes: usize,
    /// Calls of a connection that the client broke off before they began (`max_pending_resets`): 1
    /// to 1000. Default: 20.
    pub pending_resets: usize,
    /// Calls of a connection that the service had to break off (`max_local_resets`): 1 to 10 000.
    /// Default: 256.
    pub local_resets: usize,
}

impl Default for GrpcLimits {
    /// What holds without the section.
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 256,
            streams: 128,
            handshake_timeout: Duration::from_secs(5),
            frame_timeout: Duration::from_secs(5),
            stream_idle_timeout: Duration::from_mins(1),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(15),
            age_max: Duration::from_hours(1),
            age_grace: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            header_bytes: 8 * 1024,
            request_bytes: 16 * 1024,
            admin_request_bytes: 4 * 1024 * 1024,
            response_bytes: 1024 * 1024,
            pending_resets: 20,
            local_resets: 256,
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

pub(super) fn read(reader: &mut Reader<'_>, grpc: &Section<'_, '_>) -> GrpcLimits {
    let path = Path::Key(grpc.path, "limits");
    let section = reader.section_of(grpc, &path, "limits", KEYS);
    let mut options = Options { reader, section };
    let default = GrpcLimits::default();
    let day = HOUR * 24;
    GrpcLimits {
        connections: options.count("max_connections", 1_000_000, default.connections),
        connections_per_address: options.count(
            "max_connections_per_address",
            1_000_000,
            default.connections_per_address,
        ),
        streams: options.count("max_streams", 10_000, default.streams),
        handshake_timeout: options.time(
            "handshake_timeout",
            ("1m", MINUTE),
            default.handshake_timeout,
        ),
        frame_timeout: options.time("frame_timeout", ("1m", MINUTE), default.frame_timeout),
        stream_idle_timeout: options.time(
            "stream_idle_timeout",
            ("24h", day),
            default.stream_idle_timeout,
        ),
        write_timeout: options.time("write_timeout", ("1h", HOUR), default.write_timeout),
        idle_timeout: options.time("idle_timeout", ("24h", day), default.idle_timeout),
        age_max: options.time("max_age", ("7d", day * 7), default.age_max),
        age_grace: options.time("max_age_grace", ("1h", HOUR), default.age_grace),
        keepalive_interval: options.time(
            "keepalive_interval",
            ("1h", HOUR),
            default.keepalive_interval,
        ),
        keepalive_timeout: options.time(
            "keepalive_timeout",
            ("1m", MINUTE),
            default.keepalive_timeout,
        ),
        header_bytes: options.header_bytes(default.header_bytes),
        request_bytes: options.bytes("max_request_bytes", 1024, 1 << 20, default.request_bytes),
        admin_request_bytes: options.bytes(
            "max_admin_request_bytes",
            1024,
            64 << 20,
            default.admin_request_bytes,
        ),
        response_bytes: options.bytes(
            "max_response_bytes",
            64 << 10,
            64 << 20,
            default.response_bytes,
        ),
        pending_resets: options.calls("max_pending_resets", 1000, default.pending_resets),
        local_resets: options.calls("max_local_resets", 10_000, default.local_resets),
    }
}

/// The section and what takes values out of it.
struct Options<'r, 's, 'p, 'a> {
    reader: &'r mut Reader<'s>,
    section: Section<'p, 'a>,
}

impl Options<'_, '_, '_, '_> {
    fn number(&mut self, key: &str, rule: Numbers, default: u64) -> u64 {
        self.reader.number_or(&self.section, key, rule, default)
    }

    fn count(&mut self, key: &str, max: i64, default: u32) -> u32 {
        let rule = Numbers { noun: "it", min: 1, max, note: "" };
        u32::try_from(self.number(key, rule, default.into())).expect("within the bounds")
    }

    fn calls(&mut self, key: &str, max: i64, default: usize) -> usize {
        self.sized(key, Numbers { noun: "it", min: 1, max, note: "" }, default)
    }

    fn bytes(&mut self, key: &str, min: i64, max: i64, default: usize) -> usize {
        self.sized(key, Numbers { noun: "it", min, max, note: " bytes" }, default)
    }

    fn header_bytes(&mut self, default: u32) -> u32 {
        let rule = Numbers { noun: "it", min: 1024, max: 65_536, note: " bytes" };
        let bytes = self.number("max_header_bytes", rule, default.into());
        u32::try_from(bytes).expect("within the bounds")
    }

    fn sized(&mut self, key: &str, rule: Numbers, default: usize) -> usize {
        let default = u64::try_from(default).expect("a size has at most 64 bits");
        usize::try_from(self.number(key, rule, default)).expect("within the bounds")
    }

    fn time(&mut self, key: &str, max: (&str, Duration), default: Duration) -> Duration {
        let bounds = [("100ms", SECOND / 10), max];
        self.reader.duration_or(&self.section, key, bounds, default)
    }
}
