//! Writing a plan into memory that the caller provides: used by the host's emitter and, on devices too, by the
//! conformance cases, so that one writer meets one reader.

use super::cursor::Cursor;
use super::format::{self, Section, header};
use super::front_end::{FrontEnd, ImageHead, TextHead};
use super::operator::MAX_OPERANDS;
use super::tensor::Tensor;
use super::{CHANNELS_FIRST, Direction, Interface, STATE_CODE, port_code};
use crate::events::histogram::HistogramConfig;
use crate::kernels::OpKind;
use crate::pack::Layout;

/// Why nothing more could be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The memory given for this section, or for the whole file (none), is used up.
    Full(Option<Section>),
    /// More operands than an operator may have.
    Operands,
    /// A dimension of 2^24 or more, or a zero point beyond 16 bits.
    Tensor,
}

impl core::fmt::Display for WriteError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Full(Some(section)) => write!(f, "no room left in section {section:?}"),
            Self::Full(None) => f.write_str("no room left for the plan"),
            Self::Operands => write!(f, "an operator has more than {MAX_OPERANDS} operands"),
            Self::Tensor => {
                f.write_str("a tensor has a dimension of 2^24 or more, or a zero point beyond 16 bits")
            }
        }
    }
}

impl core::error::Error for WriteError {}

/// Sizes of the arena's three regions in bytes, and the bound of the dynamic dimension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemorySizes {
    /// Tensor region.
    pub tensors: u32,
    /// Scratch region.
    pub scratch: u32,
    /// State region.
    pub state: u32,
    /// Bound of rows; 0 when all shapes are static.
    pub max_rows: u32,
}

/// Bytes of the offset of an operator before it is known how many it takes.
pub const DRAFT_OPERATOR: usize = 4;

/// A plan under construction: one growing part a section.
pub struct Writer<'m> {
    parts: [Part<'m>; Section::COUNT],
}

struct Part<'m> {
    section: Section,
    memory: &'m mut [u8],
    used: usize,
}

impl Part<'_> {
    fn reserve(&mut self, len: usize) -> Result<&mut [u8], WriteError> {
        let full = WriteError::Full(Some(self.section));
        let end = self.used.checked_add(len).ok_or(full)?;
        let room = self.memory.get_mut(self.used..end).ok_or(full)?;
        self.used = end;
        Ok(room)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.reserve(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn align(&mut self, to: usize) -> Result<(), WriteError> {
        self.reserve(self.used.next_multiple_of(to) - self.used)?.fill(0);
        Ok(())
    }

    fn written(&self) -> &[u8] {
        self.memory.get(..self.used).unwrap_or(&[])
    }

    /// The number of `entry` among those written, which are all as long; it is added if it is not there.
    fn intern<const N: usize>(&mut self, entry: [u8; N]) -> Result<u16, WriteError> {
        let known = self.written().as_chunks::<N>().0.iter().position(|known| *known == entry);
        let index = known.unwrap_or(self.used / N);
        if known.is_none() {
            self.push(&entry)?;
        }
        u16::try_from(index).map_err(|_| WriteError::Full(Some(self.section)))
    }

    fn text(&mut self, text: &str) -> Result<(), WriteError> {
        self.push(Params::new().u32(text.len() as u32).bytes())?;
        self.push(text.as_bytes())
    }
}

impl<'m> Writer<'m> {
    /// Splits `memory` among the sections, `room[section]` bytes each, in the order of [`Section::ALL`]; a section whose
    /// room is not there gets what is left.
    pub fn new(memory: &'m mut [u8], room: [usize; Section::COUNT]) -> Self {
        let mut rest = memory;
        let parts = Section::ALL.map(|section| {
            let len = room[section as usize].min(rest.len());
            let (memory, after) = core::mem::take(&mut rest).split_at_mut(len);
            rest = after;
            Part { section, memory, used: 0 }
        });
        Self { parts }
    }

    fn part(&mut self, section: Section) -> &mut Part<'m> {
        &mut self.parts[section as usize]
    }

    /// Adds a tensor and gives its index.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::Tensor`].
    pub fn tensor(&mut self, tensor: &Tensor) -> Result<u16, WriteError> {
        let (shape, scale) = tensor.encode().ok_or(WriteError::Tensor)?;
        let shape = self.part(Section::Shapes).intern(shape)?;
        let scale = self.part(Section::Scales).intern(scale)?;
        let part = self.part(Section::Tensors);
        let index = (part.used / format::TENSOR_SIZE) as u16;
        [shape, scale].iter().try_for_each(|number| part.push(&number.to_le_bytes()))?;
        part.push(&tensor.offset.to_le_bytes())?;
        Ok(index)
    }

    /// Adds constants at a multiple of 4 bytes and gives their offset in the data section.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn data(&mut self, bytes: &[u8]) -> Result<u32, WriteError> {
        let len = bytes.len();
        self.data_with(len, |room| room.copy_from_slice(bytes))
    }

    /// Adds `len` bytes of constants, filled in place by `fill`, at a multiple of 4 bytes.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn data_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<u32, WriteError> {
        let part = self.part(Section::Data);
        part.align(format::CONSTANT_ALIGN)?;
        let offset = part.used as u32;
        fill(part.reserve(len)?);
        Ok(offset)
    }

    /// Adds a name and gives its offset.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn string(&mut self, text: &str) -> Result<u32, WriteError> {
        let part = self.part(Section::Strings);
        let offset = part.used as u32;
        part.text(text)?;
        Ok(offset)
    }

    /// Names an operator; either all have a name, in execution order, or none. `before` is the name of the one before, empty for
    /// the first.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn name(&mut self, before: &str, name: &str) -> Result<(), WriteError> {
        let alike = before.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        let shared = name.floor_char_boundary(alike);
        let part = self.part(Section::Names);
        part.push(Params::new().u32(shared as u32).bytes())?;
        part.text(name.get(shared..).unwrap_or(""))
    }

    /// Adds an operator at the end of the execution order.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::Operands`].
    pub fn operator(
        &mut self,
        kind: OpKind,
        inputs: &[u16],
        outputs: &[u16],
        params: &[u8],
    ) -> Result<(), WriteError> {
        if inputs.len() + outputs.len() > MAX_OPERANDS {
            return Err(WriteError::Operands);
        }
        let part = self.part(Section::Params);
        let offset = part.used as u32;
        part.push(&[kind as u8, inputs.len() as u8 | (outputs.len() as u8) << 4])?;
        for &operand in inputs.iter().chain(outputs) {
            part.push(Params::new().u16(operand).bytes())?;
        }
        part.push(params)?;
        self.part(Section::Operators).push(&offset.to_le_bytes())
    }

    /// Declares tensor `tensor` an input or output called by the string at `name`, integers in the model too.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn port(&mut self, tensor: u16, direction: Direction, name: u32) -> Result<(), WriteError> {
        self.port_as(tensor, direction, (Interface::Integers, false), name)
    }

    /// Declares tensor `tensor` an input or output called by the string at `name`, which the model has as the interface given,
    /// with its channels first or not ([`super::Port::channels_first`]).
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn port_as(
        &mut self,
        tensor: u16,
        direction: Direction,
        (interface, channels_first): (Interface, bool),
        name: u32,
    ) -> Result<(), WriteError> {
        let part = self.part(Section::Ports);
        part.push(&tensor.to_le_bytes())?;
        let order = if channels_first { CHANNELS_FIRST } else { 0 };
        part.push(&[port_code(direction), interface as u8 | order])?;
        part.push(&name.to_le_bytes())
    }

    /// Lets tensor `state`, in the state region, begin with the constant tensor `initial`.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn state(&mut self, state: u16, initial: u16) -> Result<(), WriteError> {
        let part = self.part(Section::Ports);
        part.push(&state.to_le_bytes())?;
        part.push(&[STATE_CODE, 0])?;
        part.push(&u32::from(initial).to_le_bytes())
    }

    /// Describes the front end and the labels. Called at most once.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn front_end<'l>(
        &mut self,
        front_end: &FrontEnd,
        labels: impl IntoIterator<Item = &'l str>,
    ) -> Result<(), WriteError> {
        let part = self.part(Section::FrontEnd);
        match front_end {
            FrontEnd::None => part.push(&0u32.to_le_bytes())?,
            FrontEnd::Text { text, head } => {
                part.push(&1u32.to_le_bytes())?;
                let head = match head {
                    TextHead::Sequence => 0,
                    TextHead::Tokens => 1,
                };
                for field in [text.n(), text.m(), text.window(), text.length(), head, 0] {
                    part.push(&(field as u16).to_le_bytes())?;
                }
            }
            FrontEnd::Events(events) => {
                part.push(&2u32.to_le_bytes())?;
                let HistogramConfig { geometry, grid, bins, least_pixels, max_tokens } = events.histogram;
                let edges = [grid.left as u16, grid.top as u16];
                for field in [geometry.width, geometry.height].into_iter().chain(edges) {
                    part.push(&field.to_le_bytes())?;
                }
                part.push(&[grid.shift, grid.patch, grid.columns, grid.rows, bins, 0])?;
                for field in [least_pixels, max_tokens, 0] {
                    part.push(&field.to_le_bytes())?;
                }
                part.push(&events.window_us.to_le_bytes())?;
                part.push(&events.table.to_le_bytes())?;
            }
            FrontEnd::Image(image) => {
                part.push(&3u32.to_le_bytes())?;
                part.push(&image.low.to_le_bytes())?;
                part.push(&image.high.to_le_bytes())?;
                let head: u16 = match image.head {
                    ImageHead::Classes => 0,
                    ImageHead::Image => 1,
                };
                part.push(&head.to_le_bytes())?;
                part.push(&[0; 2])?;
            }
        }
        labels.into_iter().try_for_each(|label| part.text(label))
    }

    /// Has the operators from `first` on run in strips of `rows` rows of the last one's output; `heights` are those of the
    /// whole outputs of all of them; the last output leaves strip by strip if it `streams`. Groups come in execution order.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn strips(
        &mut self,
        (first, rows, streams): (u16, u16, bool),
        heights: &[u16],
    ) -> Result<(), WriteError> {
        let part = self.part(Section::Strips);
        let head = [first, heights.len() as u16, rows, streams as u16];
        head.iter().chain(heights).try_for_each(|field| part.push(&field.to_le_bytes()))
    }

    /// Writes the whole file to the beginning of `out` and gives its length.
    ///
    /// # Errors
    /// [`WriteError::Full`] with no section when `out` is too short.
    pub fn finish(&self, layout: Layout, memory: MemorySizes, out: &mut [u8]) -> Result<usize, WriteError> {
        let full = WriteError::Full(None);
        let part = |section: Section| self.parts[section as usize].written();
        let offset_size = format::offset_size(part(Section::Params).len());
        let mut end = header::SIZE;
        for section in Section::ALL {
            let align = if section == Section::Data { layout.align() } else { section.align() };
            let start = end.next_multiple_of(align);
            out.get_mut(end..start).ok_or(full)?.fill(0);
            put(out, header::SECTIONS + 4 * section as usize, start as u32);
            end = start;
            if section == Section::Operators {
                for offset in part(section).as_chunks::<DRAFT_OPERATOR>().0 {
                    let room = out.get_mut(end..end + offset_size).ok_or(full)?;
                    room.iter_mut().zip(offset).for_each(|(place, byte)| *place = *byte);
                    end += offset_size;
                }
            } else {
                end += part(section).len();
                out.get_mut(start..end).ok_or(full)?.copy_from_slice(part(section));
            }
        }
        let (head, _) = out.split_at_mut(header::SECTIONS);
        head.fill(0);
        put(head, 0, u32::from_le_bytes(format::MAGIC));
        put(head, header::VERSION, format::VERSION as u32 | (layout as u32) << 16);
        put(head, header::LENGTH, end as u32);
        put(head, header::TENSOR_BYTES, memory.tensors);
        put(head, header::SCRATCH_BYTES, memory.scratch);
        put(head, header::STATE_BYTES, memory.state);
        put(head, header::MAX_ROWS, memory.max_rows);
        let plan = out.get_mut(..end).ok_or(full)?;
        let checksum = format::checksum(plan);
        put(plan, header::CHECKSUM, checksum);
        Ok(end)
    }
}

/// Recomputes the checksum of an edited plan, for tests that go past it.
pub fn seal(plan: &mut [u8]) {
    if plan.len() >= header::SIZE {
        let checksum = format::checksum(plan);
        put(plan, header::CHECKSUM, checksum);
    }
}

fn put(out: &mut [u8], at: usize, value: u32) {
    if let Some(field) = out.get_mut(at..at + 4) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}

/// A constant of the data section as operators refer to it: where it begins, and its elements (for blocks such as
/// [`crate::kernels::requant::Channels`], its bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant {
    /// Byte offset in the data section.
    pub offset: u32,
    /// Number of elements.
    pub count: usize,
}

impl Constant {
    /// Reads what [`Params::constant`] writes.
    pub fn read(cursor: &mut Cursor<'_>) -> Self {
        Self { offset: cursor.u32(), count: cursor.u32() as usize }
    }
}

/// The parameters of one operator, field after field.
#[derive(Clone, Debug, Default)]
pub struct Params {
    bytes: heapless::Vec<u8, 160>,
}

impl Params {
    /// No fields yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes to pass to [`Writer::operator`].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn push(mut self, field: &[u8]) -> Self {
        // The longest parameter list (Move, below 110 bytes) fits; a longer one would be refused by the reader as cut off.
        let _ = self.bytes.extend_from_slice(field);
        self
    }

    /// Appends the fields of `more`.
    pub fn then(self, more: &Self) -> Self {
        self.push(more.bytes())
    }

    /// Appends one byte.
    pub fn u8(self, value: u8) -> Self {
        self.push(&[value])
    }

    /// Appends one to three bytes, see [`Cursor::short`].
    pub fn u16(self, value: u16) -> Self {
        self.u32(value as u32)
    }

    /// Appends a range of outputs: how much smaller it is than that of int8, at both ends; mostly two bytes of 0.
    pub fn range(self, min: i32, max: i32) -> Self {
        self.i32(min.wrapping_sub(i8::MIN as i32)).i32((i8::MAX as i32).wrapping_sub(max))
    }

    /// Appends four bytes.
    pub fn word(self, value: u32) -> Self {
        self.push(&value.to_le_bytes())
    }

    /// Appends one to five bytes, see [`Cursor::u32`].
    pub fn u32(self, value: u32) -> Self {
        let rest = value >> 7;
        if rest == 0 { self.u8(value as u8) } else { self.u8(value as u8 | 128).u32(rest) }
    }

    /// Appends one to five bytes, see [`Cursor::i32`].
    pub fn i32(self, value: i32) -> Self {
        self.u32((value << 1 ^ value >> 31) as u32)
    }

    /// Appends a reference to `count` elements at `offset` of the data section.
    pub fn constant(self, offset: u32, count: usize) -> Self {
        self.u32(offset).u32(count as u32)
    }
}
