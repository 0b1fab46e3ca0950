//! The bytes of a plan file, as docs/format.md lays them down: positions, sizes and number codes.

/// First four bytes of every plan.
pub const MAGIC: [u8; 4] = *b"MIXL";
/// The format version that this code reads and writes.
pub const VERSION: u16 = 5;
/// A plan must lie in memory at a multiple of this, and so must the regions of an arena.
pub const ALIGN: usize = 16;
/// Constants lie at multiples of this in the file, at least ([`crate::pack::Layout::align`]).
pub const CONSTANT_ALIGN: usize = 4;
/// "No string" in name fields.
pub const NO_NAME: u32 = u32::MAX;

/// Byte positions of the header's fields.
pub mod header {
    #![allow(missing_docs)]
    pub const VERSION: usize = 4;
    pub const LAYOUT: usize = 6;
    pub const LENGTH: usize = 8;
    pub const CHECKSUM: usize = 12;
    pub const TENSOR_BYTES: usize = 16;
    pub const SCRATCH_BYTES: usize = 20;
    pub const STATE_BYTES: usize = 24;
    pub const MAX_ROWS: usize = 28;
    pub const SECTIONS: usize = 32;
    /// Size of the whole header.
    pub const SIZE: usize = SECTIONS + 4 * super::Section::COUNT;
}

/// The sections in the order of the header's directory, which has the offset of each, u32, and in that of the file: a section
/// ends where the next one begins, the last with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Section {
    /// Weights, tables and other constants.
    Data = 0,
    /// The different types and shapes of tensors.
    Shapes = 1,
    /// The different quantizations of tensors.
    Scales = 2,
    /// Tensor records.
    Tensors = 3,
    /// Where operators begin in the next section.
    Operators = 4,
    /// Kinds, operands and parameters of operators.
    Params = 5,
    /// Inputs, outputs and states.
    Ports = 6,
    /// Names of inputs and outputs.
    Strings = 7,
    /// Names of operators.
    Names = 8,
    /// What turns raw input into input tensors, and labels.
    FrontEnd = 9,
    /// Operators that run together in strips of rows.
    Strips = 10,
}

impl Section {
    /// Number of sections.
    pub const COUNT: usize = 11;
    /// All sections, in the order of the directory.
    pub const ALL: [Section; Self::COUNT] = [
        Section::Data,
        Section::Shapes,
        Section::Scales,
        Section::Tensors,
        Section::Operators,
        Section::Params,
        Section::Ports,
        Section::Strings,
        Section::Names,
        Section::FrontEnd,
        Section::Strips,
    ];

    /// What its offset in the file is a multiple of: constants are read in place, records byte by byte.
    pub const fn align(self) -> usize {
        if matches!(self, Section::Data) { CONSTANT_ALIGN } else { 1 }
    }
}

/// Bytes of the offset of an operator in its section of `params` bytes: u16, or u32 where that is too short.
pub const fn offset_size(params: usize) -> usize {
    if params <= 1 << 16 { 2 } else { 4 }
}

/// Bytes of one tensor record: shape u16, quantization u16, offset u32.
pub const TENSOR_SIZE: usize = 8;
/// Bytes of one shape: element type and place 4 bits each, dynamic-dimension mask and rank 4 bits each, dims 4 x 3 bytes.
pub const SHAPE_SIZE: usize = 14;
/// Bytes of one quantization: zero point i16, scale f32.
pub const SCALE_SIZE: usize = 6;
/// Every dimension is below this.
pub const MAX_DIM: u32 = 1 << 24;
/// Bytes of one port record: tensor u16, direction u8 (0 input, 1 output, 2 state), the model's interface u8 (0 the
/// tensor's integers, 1 real numbers, 2 unsigned integers), name u32; for a state, the index of its first value's tensor.
pub const PORT_SIZE: usize = 8;

/// CRC-32 (IEEE 802.3, reflected) of the plan with its checksum field taken as zero.
///
/// Four bits a step from a 16-entry table: 64 bytes of flash instead of 1 KiB, fast enough for one pass at load.
pub fn checksum(plan: &[u8]) -> u32 {
    let field = header::CHECKSUM..header::CHECKSUM + 4;
    !plan.iter().enumerate().fold(!0, |crc, (at, &byte)| {
        let byte = if field.contains(&at) { 0 } else { byte };
        crc32_step(crc, byte)
    })
}

/// CRC-32 (IEEE 802.3, reflected) of `bytes`; what conformance runs use to compare tensors.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32_more(0, bytes)
}

/// The CRC-32 of `bytes` behind others with the CRC-32 `before`, which is 0 for none.
pub fn crc32_more(before: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!before, |crc, &byte| crc32_step(crc, byte))
}

fn crc32_step(crc: u32, byte: u8) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut index = 0;
        while index < 16 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 4 {
                value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    let crc = crc ^ byte as u32;
    let crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
    (crc >> 4) ^ TABLE[(crc & 15) as usize]
}

#[cfg(test)]
mod tests {
    #[test]
    fn crc32_check_value() {
        // The check value that the CRC catalogue gives for CRC-32/ISO-HDLC.
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
    }
}
