//! Biases: the currents that set thresholds and bandwidths of the pixels.

use crate::Silicon;
use crate::registers::Register;

/// A bias, by Prophesee's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Bias {
    /// Photoreceptor.
    Pr,
    /// Follower: the low-pass, higher is faster.
    Fo,
    /// Front end.
    Fes,
    /// High-pass, higher takes away slower changes.
    Hpf,
    /// Threshold of brighter events, above [`Bias::Diff`].
    DiffOn,
    /// Reference of both thresholds; leave it.
    Diff,
    /// Threshold of darker events.
    DiffOff,
    /// Inverter.
    Inv,
    /// Refractory period: higher is shorter.
    Refr,
    /// Inverter, p side.
    Invp,
    /// Pull-up of requests.
    ReqPu,
    /// Pull-down of the state machine; the only one of 8 bits.
    SmPdy,
}

impl Bias {
    /// All of them, in the order of their registers.
    pub const ALL: [Self; 12] = [
        Self::Pr,
        Self::Fo,
        Self::Fes,
        Self::Hpf,
        Self::DiffOn,
        Self::Diff,
        Self::DiffOff,
        Self::Inv,
        Self::Refr,
        Self::Invp,
        Self::ReqPu,
        Self::SmPdy,
    ];

    /// Register, and the bits that go with the value: enable, direction, buffer.
    pub(crate) const fn register(self) -> (Register, u32) {
        match self {
            Self::Pr => (Register(0x1000), 0x0301_0000),
            Self::Fo => (Register(0x1004), 0x0301_0000),
            Self::Fes => (Register(0x1008), 0x0101_0000),
            Self::Hpf => (Register(0x1100), 0x0301_0000),
            Self::DiffOn => (Register(0x1104), 0x0101_0000),
            Self::Diff => (Register(0x1108), 0x0101_0000),
            Self::DiffOff => (Register(0x110C), 0x0101_0000),
            Self::Inv => (Register(0x1110), 0x0101_0000),
            Self::Refr => (Register(0x1114), 0x0301_0000),
            Self::Invp => (Register(0x1118), 0x0301_0000),
            Self::ReqPu => (Register(0x111C), 0x0301_0000),
            Self::SmPdy => (Register(0x1120), 0x0101_0000),
        }
    }

    /// Largest value.
    pub const fn max(self) -> u8 {
        if matches!(self, Self::SmPdy) { 0xFF } else { 0x7F }
    }

    /// The value that OpenMV's driver starts with.
    pub const fn default_of(self, silicon: Silicon) -> u8 {
        let (es, mp) = match self {
            Self::Pr => (61, 61),
            Self::Fo => (19, 24),
            Self::Fes => (63, 63),
            Self::Hpf => (0, 40),
            Self::DiffOn => (40, 25),
            Self::Diff => (51, 51),
            Self::DiffOff => (28, 28),
            Self::Inv => (57, 57),
            Self::Refr => (82, 10),
            Self::Invp => (66, 56),
            Self::ReqPu => (116, 116),
            Self::SmPdy => (164, 164),
        };
        match silicon {
            Silicon::Es => es,
            Silicon::Mp => mp,
        }
    }
}
