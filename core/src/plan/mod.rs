//! The plan: one file with everything that a model needs on a device.
//!
//! [`Plan::new_checked`] takes untrusted bytes and verifies all of them; what comes after cannot fail on account of the
//! plan. Nothing is copied: a plan is a view of the bytes in flash. docs/format.md lays the file down.

pub mod bits;
pub mod cursor;
pub mod error;
pub mod format;
pub mod front_end;
pub mod names;
pub mod operator;
pub mod strips;
pub mod tensor;
pub mod write;

use core::marker::PhantomData;

pub use error::{Fault, PlanError};
pub use front_end::{EventFrontEnd, FrontEnd, ImageFrontEnd, ImageHead, TextHead};
pub use names::Name;
pub use operator::Operator;
pub use tensor::{DType, Place, Rows, Tensor};

pub use crate::arch::verified::Verified;

use crate::kernels::{self, All, OpKind, OpSet};
use crate::pack::Layout;
use cursor::Cursor;
use format::{PORT_SIZE, SCALE_SIZE, SHAPE_SIZE, Section, TENSOR_SIZE, header};
use strips::Room;

/// A verified plan, whose operators are all in the set `O`.
pub struct Plan<'p, O = All> {
    raw: RawPlan<'p>,
    operators: PhantomData<O>,
}

impl<O> Clone for Plan<'_, O> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O> Copy for Plan<'_, O> {}

impl<'p> Plan<'p> {
    /// Verifies `bytes`, which must lie at a multiple of 16, against every operator that this crate has.
    ///
    /// Firmware that carries one model saves flash with [`Plan::with_ops`] and the operator set that the host generates.
    ///
    /// # Errors
    /// The first thing found wrong; see [`PlanError`].
    pub fn new_checked(bytes: &'p [u8]) -> Result<Self, PlanError> {
        Self::with_ops(bytes)
    }
}

impl<'p, O: OpSet> Plan<'p, O> {
    /// Verifies `bytes`, which must lie at a multiple of 16, against the operators of the set `O` only.
    ///
    /// A set that is for one plan, which the host verified ([`OpSet::VERIFIED`]), takes that plan by its checksum: what was verified once
    /// is not verified again, and a program with the plan in it has no checks in its flash. A checksum tells damage and mix-ups, but
    /// not a file that somebody made to have it: plans that come from outside of the program need a set for any plan.
    ///
    /// # Errors
    /// As [`Plan::new_checked`]; [`PlanError::NotLinked`] for an operator outside `O`; [`PlanError::OtherPlan`] when the set is for
    /// one plan and this is another.
    pub fn with_ops(bytes: &'p [u8]) -> Result<Self, PlanError> {
        let raw = RawPlan::open(bytes)?;
        // Asked of a plan that stands verified too: its set may have less room than was written for it.
        if O::STRIPS
            && let Some(group) = raw.groups().find(|group| group.count > O::Strips::OPERATORS)
        {
            return Err(PlanError::StripsTooLong(group.count as u16));
        }
        // Without strips nothing below looks for groups.
        let left_out = !O::STRIPS && raw.directory(Section::Strips).0 < raw.bytes.len();
        if let Some(verified) = O::VERIFIED {
            let same = raw.checksum() == verified.checksum() && !left_out;
            return if same { Ok(Self { raw, operators: PhantomData }) } else { Err(PlanError::OtherPlan) };
        }
        if left_out {
            return Err(PlanError::StripsNotLinked);
        }
        if !O::STATES && raw.state_bytes() > 0 {
            return Err(PlanError::StatesNotLinked);
        }
        raw.check_tables::<O>()?;
        raw.check_front_end::<O>()?;
        let mut next = 0;
        if O::STRIPS {
            for group in raw.groups() {
                for index in next..group.first {
                    raw.check_operator::<O>(index)?;
                }
                raw.check_group::<O>(group, next)?;
                next = group.first + group.count;
            }
        }
        for index in next..raw.operator_count() {
            raw.check_operator::<O>(index)?;
        }
        Ok(Self { raw, operators: PhantomData })
    }
}

impl<'p, O> core::ops::Deref for Plan<'p, O> {
    type Target = RawPlan<'p>;

    fn deref(&self) -> &RawPlan<'p> {
        &self.raw
    }
}

/// A plan's tables, readable without panics whether they make sense or not. [`Plan`] is the verified form; tools that
/// build plans use this one on drafts.
#[derive(Clone, Copy)]
pub struct RawPlan<'p> {
    bytes: &'p [u8],
}

impl core::fmt::Debug for RawPlan<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a plan of {} bytes", self.bytes.len())
    }
}

/// Whether a port takes data in or gives it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The caller writes it before a run.
    Input,
    /// The caller reads it after a run.
    Output,
}

fn port_code(direction: Direction) -> u8 {
    match direction {
        Direction::Input => 0,
        Direction::Output => 1,
    }
}

/// A tensor in the state region that begins with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Index of the tensor.
    pub tensor: u16,
    /// Index of the tensor in the data section, of the same type and shape, that it is set to by a reset.
    pub initial: u16,
}

/// Code of a state in a port record's direction field.
const STATE_CODE: u8 = 2;

/// What the model's own interface has at an input or output, whose tensor holds signed integers in any case. For tools
/// that take and give arrays; sessions do not look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Interface {
    /// The tensor's integers.
    #[default]
    Integers = 0,
    /// Real numbers.
    Reals = 1,
    /// Unsigned integers of the same size: half their range above the tensor's.
    Unsigned = 2,
}

/// Bit of an interface's code for [`Port::channels_first`].
pub(crate) const CHANNELS_FIRST: u8 = 4;

impl Interface {
    fn from_code(code: u8) -> Option<Self> {
        [Self::Integers, Self::Reals, Self::Unsigned].into_iter().find(|interface| *interface as u8 == code)
    }
}

/// An input or output of the model.
#[derive(Clone, Copy, Debug)]
pub struct Port<'p> {
    /// Index of its tensor.
    pub tensor: u16,
    /// In or out.
    pub direction: Direction,
    /// What the model has there.
    pub interface: Interface,
    /// Whether the model itself has the channels in front of rows and columns; the tensor has them last.
    pub channels_first: bool,
    plan: RawPlan<'p>,
    /// Where its name is in the strings section.
    name: u32,
}

impl<'p> Port<'p> {
    /// The name that the model gives it; empty if stripped.
    // Read when asked for, so that programs that do not ask have no check of UTF-8 linked.
    pub fn name(&self) -> &'p str {
        self.plan.string(self.name)
    }
}

/// What a tensor is, by the numbers of entries in other sections, and where.
struct TensorRecord {
    shape: u16,
    scale: u16,
    offset: u32,
}

impl<'p> RawPlan<'p> {
    /// Checks header, length, checksum and section bounds, and nothing else.
    ///
    /// # Errors
    /// Everything up to [`PlanError::Section`].
    pub fn open(bytes: &'p [u8]) -> Result<Self, PlanError> {
        if bytes.as_ptr().align_offset(format::ALIGN) != 0 {
            return Err(PlanError::Misaligned);
        }
        let magic = bytes.first_chunk::<4>().ok_or(PlanError::Truncated)?;
        if *magic != format::MAGIC {
            return Err(PlanError::Magic);
        }
        if bytes.len() < header::SIZE {
            return Err(PlanError::Truncated);
        }
        let mut cursor = Cursor::new(bytes.get(header::VERSION..).unwrap_or(&[]));
        let (version, layout, length, checksum) = (cursor.u16(), cursor.u16(), cursor.word(), cursor.word());
        if version != format::VERSION {
            return Err(PlanError::Version(version));
        }
        let bytes = bytes.get(..length as usize).ok_or(PlanError::Truncated)?;
        if bytes.len() < header::SIZE {
            return Err(PlanError::Truncated);
        }
        if format::checksum(bytes) != checksum {
            return Err(PlanError::Checksum);
        }
        match Layout::from_code(layout) {
            Some(layout) if crate::arch::accepts(layout) => {}
            _ => return Err(PlanError::Layout(layout)),
        }
        let plan = Self { bytes };
        for section in Section::ALL {
            let (start, end) = plan.directory(section);
            if start < header::SIZE || start > end || !start.is_multiple_of(section.align()) {
                return Err(PlanError::Section(section));
            }
        }
        Ok(plan)
    }

    /// All bytes of the plan.
    pub fn bytes(&self) -> &'p [u8] {
        self.bytes
    }

    /// The bytes of one section.
    #[inline(never)]
    pub fn section(&self, section: Section) -> &'p [u8] {
        let (start, end) = self.directory(section);
        self.bytes.get(start..end).unwrap_or(&[])
    }

    /// Where a section begins and ends, as the header has it: the last ends with the file.
    #[inline(always)]
    fn directory(&self, section: Section) -> (usize, usize) {
        let words = self.header();
        let word = |index: usize| {
            words.get(index).map_or(self.bytes.len(), |word| u32::from_le_bytes(*word) as usize)
        };
        let entry = header::SECTIONS / 4 + section as usize;
        (word(entry), word(entry + 1))
    }

    #[inline(always)]
    fn header(&self) -> &'p [[u8; 4]] {
        let header = self.bytes.first_chunk::<{ header::SIZE }>();
        header.map_or(&[], |header| header.as_chunks().0)
    }

    #[inline(always)]
    fn header_u32(&self, position: usize) -> u32 {
        self.header().get(position / 4).map_or(0, |word| u32::from_le_bytes(*word))
    }

    /// The checksum over everything else, as the header has it.
    pub fn checksum(&self) -> u32 {
        self.header_u32(header::CHECKSUM)
    }

    /// Target whose weight order the plan has.
    pub fn layout(&self) -> Layout {
        let code = Cursor::new(self.bytes.get(header::LAYOUT..).unwrap_or(&[])).u16();
        Layout::from_code(code).unwrap_or(Layout::Generic)
    }

    /// Bytes of the arena's tensor region.
    pub fn tensor_bytes(&self) -> usize {
        self.header_u32(header::TENSOR_BYTES) as usize
    }

    /// Bytes of the arena's scratch region, which follows the tensors. Operators have their scratch memory at its beginning;
    /// tensors may lie there too, as long as no operator that uses them needs it.
    pub fn scratch_bytes(&self) -> usize {
        self.header_u32(header::SCRATCH_BYTES) as usize
    }

    /// Bytes of the arena's state region, which follows the scratch memory.
    pub fn state_bytes(&self) -> usize {
        self.header_u32(header::STATE_BYTES) as usize
    }

    /// All memory that a session needs: tensors, scratch and state.
    pub fn arena_bytes(&self) -> usize {
        self.tensor_bytes().saturating_add(self.scratch_bytes()).saturating_add(self.state_bytes())
    }

    /// Bound of the dimension that varies at run time; 0 when every shape is static.
    pub fn max_rows(&self) -> usize {
        self.header_u32(header::MAX_ROWS) as usize
    }

    /// Number of tensors.
    pub fn tensor_count(&self) -> usize {
        self.section(Section::Tensors).len() / TENSOR_SIZE
    }

    /// Tensor `index`, whose numbers make sense in a verified plan only.
    ///
    /// # Errors
    /// [`Fault::Operands`] when there is none; [`Fault::Dims`] or [`Fault::Code`] when it cannot be told what it is.
    #[inline(never)]
    pub fn tensor(&self, index: u16) -> Result<Tensor, Fault> {
        let TensorRecord { shape, scale, offset } = self.tensor_record(index).ok_or(Fault::Operands)?;
        let shape = self.entry(Section::Shapes, shape).ok_or(Fault::Dims)?;
        let scale = self.entry(Section::Scales, scale).ok_or(Fault::Dims)?;
        Tensor::parse(shape, scale, offset)
    }

    fn tensor_record(&self, index: u16) -> Option<TensorRecord> {
        // Of these numbers operators and ports may have any.
        let (start, end) = self.directory(Section::Tensors);
        let whole = TENSOR_SIZE * (index as usize + 1) <= end.saturating_sub(start);
        let [s0, s1, q0, q1, offset @ ..] =
            *self.entry::<TENSOR_SIZE>(Section::Tensors, index).filter(|_| whole)?;
        let (shape, scale) = (u16::from_le_bytes([s0, s1]), u16::from_le_bytes([q0, q1]));
        Some(TensorRecord { shape, scale, offset: u32::from_le_bytes(offset) })
    }

    /// Entry `index` of a section that has so many, which the check of the tables makes sure of once.
    #[inline(always)]
    fn entry<const N: usize>(&self, section: Section, index: u16) -> Option<&'p [u8; N]> {
        let start = self.header_u32(header::SECTIONS + 4 * section as usize) as usize;
        self.bytes.get(start.wrapping_add(N * index as usize)..)?.first_chunk()
    }

    /// Bytes of the offset of an operator.
    fn offset_size(&self) -> usize {
        format::offset_size(self.section(Section::Params).len())
    }

    /// Number of operators.
    pub fn operator_count(&self) -> usize {
        self.section(Section::Operators).len() / self.offset_size()
    }

    /// What the file has of operator `index`; none when there is no such operator or it does not lie in its section.
    fn operator_bytes(&self, index: usize) -> Option<&'p [u8]> {
        let (offsets, params) = (self.section(Section::Operators), self.section(Section::Params));
        let size = format::offset_size(params.len());
        let mut cursor = Cursor::new(offsets.get(size * index..).filter(|rest| !rest.is_empty())?);
        let mut next = || if size == 2 { cursor.u16() as usize } else { cursor.word() as usize };
        let (start, end) = (next(), next());
        // Behind the last one there is no offset: it goes to the end.
        params.get(start..if cursor.overrun() { params.len() } else { end })
    }

    /// Names of all operators in execution order, or none when they were stripped. For tools: devices do not look at them.
    pub fn names(&self) -> impl Iterator<Item = Name<'p>> + use<'p> {
        names::names(self.section(Section::Names))
    }

    /// Operator `index` in execution order; none past the end or with an unknown kind.
    pub fn operator(&self, index: usize) -> Option<Operator<'p>> {
        Operator::read(*self, index)
    }

    /// All operators in execution order.
    pub fn operators(&self) -> impl Iterator<Item = Operator<'p>> + use<'p> {
        let plan = *self;
        (0..self.operator_count()).filter_map(move |index| plan.operator(index))
    }

    /// The groups of operators that run in strips of rows, in execution order.
    pub fn groups(&self) -> impl Iterator<Item = strips::Group<'p>> + use<'p> {
        strips::groups(self.section(Section::Strips))
    }

    /// The tensor of `port` as callers see it: with all rows, also where it holds a few of them at a time
    /// ([`RawPlan::streamed`]).
    ///
    /// # Errors
    /// The plan has no such tensor.
    pub fn port_tensor(&self, port: &Port<'_>) -> Result<Tensor, Fault> {
        let tensor = self.tensor(port.tensor)?;
        let [images, rows, width, channels] = tensor.dims;
        let rows = self.streamed(port).map_or(rows, u32::from);
        Ok(Tensor { dims: [images, rows, width, channels], ..tensor })
    }

    /// Height of the image of `port` when it goes in or out row by row and its tensor holds a few rows only.
    pub fn streamed(&self, port: &Port<'_>) -> Option<u16> {
        self.groups().find_map(|group| {
            let last = group.streams.then(|| group.count.saturating_sub(1));
            let index = match port.direction {
                Direction::Input => (0..group.count).find(|index| {
                    let operator = self.operator(group.first + index);
                    operator.is_some_and(|operator| {
                        operator.kind == OpKind::Feed && operator.tensor_index(0) == port.tensor
                    })
                }),
                Direction::Output => last.filter(|last| {
                    let operator = self.operator(group.first + last);
                    operator.is_some_and(|it| it.tensor_index(it.inputs as usize) == port.tensor)
                }),
            };
            index.map(|index| group.height(index))
        })
    }

    /// Operator `index` with whole operands, also when it runs in strips: for tools that show shapes and work.
    pub fn whole_operator(&self, index: usize) -> Option<Operator<'p>> {
        match self.groups().find(|group| group.operators().contains(&index)) {
            Some(group) => strips::whole(*self, group, index - group.first),
            None => self.operator(index),
        }
    }

    /// All inputs and outputs, in the model's order.
    pub fn ports(&self) -> impl Iterator<Item = Port<'p>> + use<'p> {
        let plan = *self;
        self.section(Section::Ports).chunks_exact(PORT_SIZE).filter_map(move |record| {
            let mut cursor = Cursor::new(record);
            let (tensor, direction, interface) = (cursor.u16(), cursor.u8(), cursor.u8());
            let direction = match direction {
                0 => Direction::Input,
                1 => Direction::Output,
                _ => return None,
            };
            let channels_first = interface & CHANNELS_FIRST != 0;
            let interface = Interface::from_code(interface & !CHANNELS_FIRST)?;
            Some(Port { tensor, direction, interface, channels_first, plan, name: cursor.word() })
        })
    }

    /// The states that begin with a constant. Other tensors in the state region begin with their zero point.
    pub fn states(&self) -> impl Iterator<Item = State> + use<'p> {
        self.section(Section::Ports).chunks_exact(PORT_SIZE).filter_map(|record| {
            let mut cursor = Cursor::new(record);
            let (tensor, code, zero, initial) = (cursor.u16(), cursor.u8(), cursor.u8(), cursor.word());
            let initial = u16::try_from(initial).ok()?;
            ((code, zero) == (STATE_CODE, 0)).then_some(State { tensor, initial })
        })
    }

    /// The inputs, in the model's order.
    pub fn inputs(&self) -> impl Iterator<Item = Port<'p>> + use<'p> {
        self.ports().filter(|port| port.direction == Direction::Input)
    }

    /// The outputs, in the model's order.
    pub fn outputs(&self) -> impl Iterator<Item = Port<'p>> + use<'p> {
        self.ports().filter(|port| port.direction == Direction::Output)
    }

    /// The string at `offset` of the strings section; empty for [`format::NO_NAME`] or a broken one.
    pub fn string(&self, offset: u32) -> &'p str {
        self.try_string(offset).unwrap_or("")
    }

    fn try_string(&self, offset: u32) -> Option<&'p str> {
        if offset == format::NO_NAME {
            return Some("");
        }
        Cursor::new(self.section(Section::Strings).get(offset as usize..)?).text()
    }

    /// What turns raw input into the input tensors; [`FrontEnd::None`] when the caller fills them.
    pub fn front_end(&self) -> FrontEnd {
        FrontEnd::read(self.section(Section::FrontEnd)).map_or(FrontEnd::None, |(front_end, _)| front_end)
    }

    /// Names of the classes that the first output scores, in order; none when the model has no labels.
    pub fn labels(&self) -> impl Iterator<Item = &'p str> + use<'p> {
        let labels = FrontEnd::read(self.section(Section::FrontEnd)).map(|(_, labels)| labels);
        let mut labels = labels.unwrap_or(Cursor::new(&[]));
        core::iter::from_fn(move || if labels.is_empty() { None } else { labels.text() })
    }

    /// Checks all tables against each other, but no operator.
    fn check_tables<O: OpSet>(&self) -> Result<(), PlanError> {
        let sizes = [self.tensor_bytes(), self.scratch_bytes(), self.state_bytes()];
        let aligned = sizes.iter().all(|size| size.is_multiple_of(format::ALIGN));
        let total = sizes.iter().try_fold(0u32, |sum, &size| sum.checked_add(size as u32));
        if !aligned || total.is_none_or(|total| total > i32::MAX as u32) {
            return Err(PlanError::Memory);
        }
        for (section, size) in [
            (Section::Tensors, TENSOR_SIZE),
            (Section::Operators, self.offset_size()),
            (Section::Ports, PORT_SIZE),
        ] {
            let len = self.section(section).len();
            if len.checked_rem(size) != Some(0) || len > size * u16::MAX as usize {
                return Err(PlanError::Section(section));
            }
        }
        #[cfg(not(target_os = "none"))]
        if !names::valid(self.section(Section::Names), self.operator_count()) {
            return Err(PlanError::Section(Section::Names));
        }
        if O::STRIPS {
            let groups: usize = self.groups().map(|group| strips::group_bytes(group.count)).sum();
            if groups != self.section(Section::Strips).len() {
                return Err(PlanError::Section(Section::Strips));
            }
        }
        let data = self.section(Section::Data).len();
        let entries = |section, size: usize| self.section(section).len() / size;
        let (shapes, scales) = (entries(Section::Shapes, SHAPE_SIZE), entries(Section::Scales, SCALE_SIZE));
        for index in 0..self.tensor_count() as u16 {
            let known = self
                .tensor_record(index)
                .filter(|record| (record.shape as usize) < shapes && (record.scale as usize) < scales);
            known.ok_or(PlanError::Tensor(index, Fault::Code))?;
            let tensor = self.tensor(index).and_then(Tensor::checked);
            let tensor = tensor.map_err(|fault| PlanError::Tensor(index, fault))?;
            let region = match tensor.place {
                Place::Arena => self.tensor_bytes() + self.scratch_bytes(),
                Place::Data => data,
                Place::State => self.state_bytes(),
            };
            let end = (tensor.offset as usize).checked_add(tensor.bytes());
            let aligned = (tensor.offset as usize).is_multiple_of(tensor.dtype.size());
            if !aligned || end.is_none_or(|end| end > region) {
                return Err(PlanError::Tensor(index, Fault::Bounds));
            }
            let bound_kept = (0..4)
                .filter(|axis| tensor.dynamic >> axis & 1 == 1)
                .all(|axis| self.max_rows() > 0 && tensor.dims[axis] as usize >= self.max_rows());
            if !bound_kept || (tensor.dynamic != 0 && tensor.place == Place::Data) {
                return Err(PlanError::Tensor(index, Fault::Dynamic));
            }
        }
        let records = self.section(Section::Ports).len() / PORT_SIZE;
        if self.ports().count() + self.states().count() != records {
            return Err(PlanError::Section(Section::Ports));
        }
        for state in self.states() {
            let initial = self.tensor(state.initial).map_err(|_| PlanError::State(state.tensor))?;
            let tensor = self.tensor(state.tensor).map_err(|_| PlanError::State(state.tensor))?;
            let places = (tensor.place, initial.place) == (Place::State, Place::Data);
            if !places || tensor.dtype != initial.dtype || tensor.dims != initial.dims {
                return Err(PlanError::State(state.tensor));
            }
        }
        for (index, port) in self.ports().enumerate() {
            let tensor = self.tensor(port.tensor).map_err(|_| PlanError::Port(index as u16))?;
            // The same bound as of tensors that stand whole.
            let streamed = if O::STRIPS { self.streamed(&port) } else { None };
            let streamed = streamed.map_or(1, usize::from).checked_mul(tensor.row_elements());
            if tensor.place != Place::Arena || streamed.is_none_or(|elements| elements > 1 << 28) {
                return Err(PlanError::Port(index as u16));
            }
        }
        for port in self.ports() {
            self.try_string(port.name).ok_or(PlanError::String(port.name))?;
        }
        Ok(())
    }

    fn check_front_end<O: OpSet>(&self) -> Result<(), PlanError> {
        let section = self.section(Section::FrontEnd);
        let labels = if O::FRONT_END {
            let (front_end, labels) = FrontEnd::read(section).ok_or(PlanError::FrontEnd)?;
            if !front_end.fits(self) {
                return Err(PlanError::FrontEnd);
            }
            labels
        } else {
            FrontEnd::labels(section).ok_or(PlanError::FrontEndNotLinked)?
        };
        if front_end::labels_valid(labels) { Ok(()) } else { Err(PlanError::FrontEnd) }
    }

    /// Checks a group whose operators must not begin in front of operator `next`.
    fn check_group<O: OpSet>(&self, group: strips::Group<'_>, next: usize) -> Result<(), PlanError> {
        if group.first < next || group.first + group.count > self.operator_count() {
            return Err(PlanError::Section(Section::Strips));
        }
        for index in group.operators() {
            self.check_record(index)?;
        }
        let scratch = strips::check::<O>(*self, group)?;
        let mut operators = group.operators().filter_map(|index| self.operator(index));
        let given = |operator: Operator<'_>| {
            let output = operator.tensor_index(operator.inputs as usize);
            self.outputs().any(|port| port.tensor == output)
        };
        // What nobody takes would be lost.
        let lost = group.streams && !self.operator(group.operators().end - 1).is_some_and(given);
        let fits = !lost && operators.all(|operator| self.leaves_scratch(&operator, scratch));
        if fits { Ok(()) } else { Err(PlanError::Section(Section::Strips)) }
    }

    /// Whether there are `scratch` bytes of scratch memory that no operand of `operator` reaches into.
    #[inline(never)]
    fn leaves_scratch(&self, operator: &Operator<'_>, scratch: usize) -> bool {
        if scratch > self.scratch_bytes() {
            return false;
        }
        let (start, end) = (self.tensor_bytes(), self.tensor_bytes() + scratch);
        let operands = (0..operator.inputs as usize + operator.outputs as usize)
            .filter_map(|operand| self.tensor(operator.tensor_index(operand)).ok())
            .filter(|tensor| tensor.place == Place::Arena);
        let mut clear = operands.map(|tensor| {
            let offset = tensor.offset as usize;
            offset >= end || offset + tensor.bytes() <= start
        });
        scratch == 0 || clear.all(|clear| clear)
    }

    /// Checks an operator's record, but not what it asks of its operands.
    fn check_record(&self, index: usize) -> Result<Operator<'p>, PlanError> {
        let (record, at) = (Operator::record(*self, index), index as u16);
        let kind = OpKind::from_code(record.kind).ok_or(PlanError::UnknownOperator(at, record.kind))?;
        record.check(*self).map_err(|fault| PlanError::Operator(at, kind, fault))
    }

    fn check_operator<O: OpSet>(&self, index: usize) -> Result<(), PlanError> {
        let operator = self.check_record(index)?;
        let (at, kind) = (index as u16, operator.kind);
        let refuse = |fault| PlanError::Operator(at, kind, fault);
        let scratch =
            kernels::check::<O>(&operator).ok_or(PlanError::NotLinked(at, kind))?.map_err(refuse)?;
        if self.leaves_scratch(&operator, scratch) { Ok(()) } else { Err(refuse(Fault::Scratch)) }
    }
}
