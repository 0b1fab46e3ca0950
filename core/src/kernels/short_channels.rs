//! Biases and factors of channels ([`Channels`]) in fewer bytes: multipliers have 30 bits below their leading one, shifts of a
//! layer differ by a few, and biases seldom need more than 20 bits. Before an operator runs they are brought into the scratch
//! memory in the form that kernels read; its own scratch memory follows them.
//!
//! Depthwise weights of such operators stand tap by tap in the plan, a byte each, and are brought into the layout's order with them.
//!
//! For operators that do much with each channel, in the layouts for which memory and flash are small: see `Short::of`.

use super::OpKind;
use super::part::Part;
use super::requant::Channels;
use super::window::Window;
use crate::arch::view::{In, Lease, fill};
use crate::pack::{DepthwiseOrder, Layout};
use crate::plan::bits::{BitWriter, Bits};
use crate::plan::format::ALIGN;
use crate::plan::{Fault, Operator};

/// Bytes in front of the channels: least shift u8, bits of what a shift has above it u8, bits of a bias u8.
const HEAD: usize = 3;
/// Bits of a multiplier below its leading one.
const MULTIPLIER: u8 = 30;

/// Where an operator finds its channels.
#[derive(Clone, Copy)]
pub(crate) enum Source<'p> {
    /// In the plan.
    Plan,
    /// In the plan, in short form that was checked. Not to run with.
    Checked,
    /// In scratch memory, and weights there as well if the layout has an order for them that takes more bytes.
    Scratch {
        /// As [`Channels`] reads them.
        channels: In<'p, u8>,
        /// In the layout's order.
        weights: Option<In<'p, i8>>,
    },
}

/// Channels in short form: the head, and for each the multiplier, the shift and the bias one behind the other.
#[derive(Clone, Copy)]
pub(crate) struct Short<'p> {
    block: In<'p, u8>,
    count: usize,
    /// Depthwise weights tap by tap, and the taps of the kernel.
    weights: Option<(In<'p, i8>, usize)>,
    /// The order in which kernels want these.
    order: DepthwiseOrder,
}

/// Bits of one channel's fields.
#[derive(Clone, Copy)]
struct Widths {
    shift: u8,
    bias: u8,
}

impl Widths {
    /// Bytes of a block of `count` channels.
    fn bytes(self, count: usize) -> usize {
        let bits = MULTIPLIER as usize + self.shift as usize + self.bias as usize;
        HEAD.saturating_add(bits.saturating_mul(count).div_ceil(8))
    }
}

/// Gives the block of `channels` to `put`, byte by byte; their number, none when it would not be shorter than the usual form or
/// a multiplier has another size.
pub fn pack(channels: &Channels<'_>, mut put: impl FnMut(u8)) -> Option<usize> {
    let all = || (0..channels.bias.len()).map(|index| channels.channel(index));
    let shifts = || all().map(|channel| channel.scale.shift);
    let (least, most) = (shifts().min()?, shifts().max()?);
    let signed = |bias: i32| 33 - (bias ^ bias >> 31).leading_zeros() as u8;
    let widths = Widths {
        shift: (most - least).checked_ilog2().map_or(0, |log| log as u8 + 1),
        bias: all().map(|channel| signed(channel.bias)).max()?,
    };
    let bytes = widths.bytes(channels.bias.len());
    let normal = all().all(|channel| channel.scale.multiplier >= 1 << MULTIPLIER);
    // Whole numbers of bits may reach beyond the largest shift that there is.
    let reach = least as u32 + (1u32 << widths.shift) - 1;
    if !normal || reach > 62 || bytes >= Channels::bytes(channels.bias.len()) {
        return None;
    }
    [least, widths.shift, widths.bias].into_iter().for_each(&mut put);
    let mut writer = BitWriter::new(put);
    for channel in all() {
        writer.push(channel.scale.multiplier as u32, MULTIPLIER.into());
        writer.push((channel.scale.shift - least).into(), widths.shift.into());
        writer.push(channel.bias as u32, widths.bias.into());
    }
    writer.finish();
    Some(bytes)
}

impl<'p> Short<'p> {
    /// The channels of `operator` if it is of a kind and its plan of a layout that may have them in short form, and they are not
    /// as long as in the usual one.
    pub fn of(operator: &Operator<'p>) -> Option<Self> {
        let (layout, mut cursor) = (operator.plan().layout(), operator.params());
        let part = matches!(operator.kind, OpKind::ConvPart | OpKind::LinearPart);
        let outputs = if part { Some(Part::read(&mut cursor).of_layer()) } else { None };
        let kernel = match operator.kind {
            OpKind::Linear | OpKind::LinearPart => None,
            OpKind::Depthwise => Some(Window::whole(&mut cursor).kernel.map(usize::from)),
            OpKind::Conv | OpKind::ConvPart => {
                let _ = (Window::whole(&mut cursor), cursor.short());
                None
            }
            _ => return None,
        };
        if !matches!(layout, Layout::Generic | Layout::ArmDsp) {
            return None;
        }
        let (weights, block) = (operator.constant(&mut cursor), operator.constant::<u8>(&mut cursor));
        let count = outputs.unwrap_or(operator.output(0).ok()?.inner());
        let order = kernel.map_or(DepthwiseOrder::Taps, |kernel| layout.depthwise(kernel));
        let weights = kernel.map(|[height, width]| (weights, height * width));
        let short = Self { block, count, weights, order };
        (block.len() != Channels::bytes(count)).then_some(short)
    }

    fn widths(&self) -> Widths {
        Widths { shift: self.block.get(1), bias: self.block.get(2) }
    }

    /// Whether block and depthwise weights are whole, and shifts are in range whatever the block holds.
    fn valid(&self) -> bool {
        let (least, widths) = (self.block.get(0) as u32, self.widths());
        let sound = least >= 1 && widths.shift <= 5 && (1..=32).contains(&widths.bias);
        let weights =
            self.weights.is_none_or(|(weights, taps)| taps.checked_mul(self.count) == Some(weights.len()));
        let complete = weights && self.block.len() == widths.bytes(self.count);
        sound && least + (1u32 << widths.shift) <= 63 && complete
    }

    /// Bytes of weights in the layout's order, which lie in front of the channels.
    fn weight_bytes(&self) -> usize {
        if self.order == DepthwiseOrder::Pairs { self.order.len(9, self.count).unwrap_or(0) } else { 0 }
    }

    /// Scratch bytes of the usual form.
    fn reserved(&self) -> usize {
        (self.weight_bytes() + Channels::bytes(self.count)).next_multiple_of(ALIGN)
    }

    /// Writes everything in the usual form from byte `offset` of the arena on.
    fn unpack<'r>(&self, lease: &'r Lease<'r>, offset: usize) -> Source<'r> {
        let turned = self.weights.filter(|_| self.order == DepthwiseOrder::Pairs).map(|(weights, _)| {
            let pairs = lease.window::<i16>(offset, self.weight_bytes() / 2);
            fill(pairs.cast(), 0);
            for tap in 0..9 {
                // What depends on the tap once, not for every channel.
                let lanes = [0, 1, 2, 3].map(|lane| DepthwiseOrder::pair(tap, lane) / 2);
                let block = DepthwiseOrder::pair(0, 4) / 2;
                let weights = weights.window(tap * self.count, self.count);
                for channel in 0..self.count {
                    let [lane, place] = [channel % 4, channel / 4 * block];
                    pairs.set(lanes.get(lane).map_or(0, |at| at + place), weights.get(channel).into());
                }
            }
            pairs.reader().cast()
        });
        let (count, widths, offset) = (self.count, self.widths(), offset + self.weight_bytes());
        let words = lease.window::<i32>(offset, 2 * count);
        let shifts = lease.window::<u8>(offset + 8 * count, count);
        let mut reader = Bits::new(self.block.window(HEAD, self.block.len()));
        for channel in 0..count {
            words.set(count + channel, (reader.take(MULTIPLIER.into()) | 1 << MULTIPLIER) as i32);
            shifts.set(channel, self.block.get(0).wrapping_add(reader.take(widths.shift.into()) as u8));
            words.set(channel, reader.signed(widths.bias.into()));
        }
        let channels = lease.window(offset, Channels::bytes(count)).reader();
        Source::Scratch { channels, weights: turned }
    }
}

/// `operator` as its kernel checks it, and the scratch bytes that it needs beside its kernel's.
///
/// # Errors
/// [`Fault::Constants`] when its channels are neither in the usual form nor right in the short one.
pub(crate) fn checked<'p>(operator: &Operator<'p>) -> Result<(Operator<'p>, usize), Fault> {
    match Short::of(operator) {
        None => Ok((*operator, 0)),
        Some(short) if short.valid() => Ok((operator.with_channels(&Source::Checked), short.reserved())),
        Some(_) => Err(Fault::Constants),
    }
}

/// Whether no channel of `operator` that is in short form has a shift below 33, which loops without the common ways do not take. Kernels
/// see the shifts of others themselves.
pub(crate) fn shifts_fit(operator: &Operator<'_>) -> bool {
    Short::of(operator).is_none_or(|short| short.block.get(0) >= 33)
}

/// Brings the channels of `operator` into its scratch memory, if it has them in short form: where they are then, and the bytes
/// that they take.
pub(crate) fn unpacked<'r>(operator: &Operator<'r>, lease: &'r Lease<'r>) -> Option<(Source<'r>, usize)> {
    let short = Short::of(operator)?;
    Some((short.unpack(lease, operator.plan().tensor_bytes()), short.reserved()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::view::Arena;

    #[repr(align(16))]
    struct Memory([u8; 256]);

    fn there_and_back(bias: &[i32], multiplier: &[i32], shift: &[u8]) -> Option<usize> {
        let channels =
            Channels { bias: In::new(bias), multiplier: In::new(multiplier), shift: In::new(shift) };
        let mut block = heapless::Vec::<u8, 256>::new();
        let bytes = pack(&channels, |byte| block.push(byte).unwrap())?;
        let short =
            Short { block: In::new(&block), count: bias.len(), weights: None, order: DepthwiseOrder::Taps };
        assert!(short.valid() && bytes == block.len());
        let mut memory = Memory([0; 256]);
        let mut arena = Arena::new(&mut memory.0);
        let lease = arena.lease();
        let Source::Scratch { channels: whole, weights: None } = short.unpack(&lease, 16) else { panic!() };
        let found: heapless::Vec<u8, 256> = (0..whole.len()).map(|at| whole.get(at)).collect();
        let words = bias.iter().chain(multiplier).flat_map(|word| word.to_le_bytes());
        assert!(words.chain(shift.iter().copied()).eq(found));
        Some(bytes)
    }

    #[test]
    fn channels_read_back() {
        let multipliers = [1 << 30, i32::MAX, 0x5555_5555, 0x4000_0001];
        assert_eq!(there_and_back(&[-1, 0, 0, -1], &multipliers, &[40; 4]), Some(3 + 16));
        assert_eq!(there_and_back(&[-32768, 0, 1, 32767], &multipliers, &[37, 38, 40, 39]), Some(3 + 24));
        assert!(there_and_back(&[1 << 27, 5, -7, 0], &multipliers, &[1, 8, 16, 2]).is_some());
        // A factor of another size; no shorter.
        assert_eq!(there_and_back(&[0; 4], &[0, 1 << 30, 1 << 30, 1 << 30], &[40; 4]), None);
        assert_eq!(there_and_back(&[i32::MIN, 0, 0, 0], &multipliers, &[1, 62, 40, 3]), None);
    }

    #[test]
    fn shifts_are_in_range_whatever_a_block_holds() {
        let block = |head: [u8; 3]| {
            let mut bytes = [0xFF; 3 + 5];
            bytes[..3].copy_from_slice(&head);
            Short { block: In::new(&bytes), count: 1, weights: None, order: DepthwiseOrder::Taps }.valid()
        };
        assert!(block([1, 2, 8]) && block([59, 2, 8]) && block([30, 0, 10]));
        assert!(!block([0, 2, 8]) && !block([60, 2, 8]) && !block([30, 2, 0]) && !block([30, 2, 33]));
        assert!(!block([30, 2, 30]), "the length");
    }
}
