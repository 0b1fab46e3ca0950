//! [`super::lut::Lut`] with a table that is stored as the steps from each entry to the next: functions of one value mostly rise
//! by one or two, which takes two bits instead of eight. The table is made anew for every run.

use super::lut::look_up;
use super::width::{Bits8, check_unary};
use super::{Kernel, OpKind, Run};
use crate::arch::view::In;
use crate::plan::bits::{BitWriter, Bits};
use crate::plan::write::{self, Constant};
use crate::plan::{Fault, Operator};

/// Bytes in front of the steps: first entry i8, least step i8, bits of a step u8.
const HEAD: usize = 3;
/// Most bits of a step: with more, the table itself is as short.
const MOST: u8 = 7;

/// The parameters of [`LutSteps`] as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LutStepsParams {
    /// What [`pack`] writes; its count is in bytes.
    pub steps: Constant,
}

impl LutStepsParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().constant(self.steps.offset, self.steps.count)
    }
}

/// Gives the bytes of `table` as steps to `put`, in order; their number, none when steps do not shorten it.
pub fn pack(table: &[i8; 256], mut put: impl FnMut(u8)) -> Option<usize> {
    let steps = || table.windows(2).map(|pair| pair[1] as i32 - pair[0] as i32);
    let (least, most) = (steps().min()?, steps().max()?);
    let bits = (most - least).checked_ilog2().map_or(0, |log| log as u8 + 1);
    if bits > MOST {
        return None;
    }
    // Modulo 256, as the table's entries are.
    [table[0] as u8, least as u8, bits].into_iter().for_each(&mut put);
    let mut writer = BitWriter::new(put);
    steps().for_each(|step| writer.push((step - least) as u32, bits.into()));
    writer.finish();
    Some(bytes(bits))
}

/// Bytes of a table whose steps have `bits` bits.
fn bytes(bits: u8) -> usize {
    HEAD + (255 * bits as usize).div_ceil(8)
}

/// The table behind its steps.
fn unpack(steps: In<'_, u8>) -> [i8; 256] {
    let (least, bits) = (steps.get(1), steps.get(2).min(MOST));
    let mut reader = Bits::new(steps.window(HEAD, steps.len()));
    let mut entry = steps.get(0);
    let mut table = [entry as i8; 256];
    for place in table.iter_mut().skip(1) {
        entry = entry.wrapping_add(least).wrapping_add(reader.short(bits.into()) as u8);
        *place = entry as i8;
    }
    table
}

fn steps<'p>(operator: &Operator<'p>) -> Option<In<'p, u8>> {
    let mut cursor = operator.params();
    let steps = operator.constant(&mut cursor);
    cursor.finished().then_some(steps)
}

/// The operator, int8 to int8 of the same shape.
pub struct LutSteps;

impl Kernel for LutSteps {
    const KIND: OpKind = OpKind::LutSteps;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        check_unary::<Bits8>(operator)?;
        let steps = steps(operator).ok_or(Fault::Params)?;
        let bits = steps.get(2);
        if bits <= MOST && steps.len() == bytes(bits) { Ok(()) } else { Err(Fault::Constants) }
    }

    fn reach(_operator: &Operator<'_>, _input: usize) -> Option<isize> {
        Some(0)
    }

    fn run(run: &Run<'_>) {
        let Some(steps) = steps(run.operator()) else { return };
        look_up(run, In::new(&unpack(steps)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_read_back() {
        let shapes: [fn(i32) -> i32; 6] = [
            |x| x,
            |_| -128,
            |x| -x - 1,
            |x| if x < 0 { x / 4 } else { x },
            |x| (x * 2).clamp(-128, 127),
            |x| 127 - x * x / 130,
        ];
        for shape in shapes {
            let table: [i8; 256] = core::array::from_fn(|index| shape(index as i32 - 128) as i8);
            let mut packed = heapless::Vec::<u8, 256>::new();
            let count = pack(&table, |byte| packed.push(byte).unwrap());
            assert_eq!(count, Some(packed.len()));
            assert_eq!(unpack(In::new(&packed)), table);
        }
        // Up and down through the whole range: no shorter as steps.
        let table: [i8; 256] = core::array::from_fn(|index| if index % 2 == 0 { -128 } else { 127 });
        assert_eq!(pack(&table, |_| ()), None);
    }
}
