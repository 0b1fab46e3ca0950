//! One operator made into a plan, run, and compared.

use bytemuck::Pod;
use core::fmt::Write as _;
use mixel_core::arch::view::In;
use mixel_core::arch::{self, Backend};
use mixel_core::kernels::requant::{Channels, Quantized};
use mixel_core::kernels::{self, All, OpKind, OpSet, short_channels};
use mixel_core::pack::Layout;
use mixel_core::plan::format::{ALIGN, NO_NAME, Section};
use mixel_core::plan::write::{Constant, MemorySizes, Params, WriteError, Writer};
use mixel_core::plan::{DType, Direction, Fault, Place, Plan, PlanError, RawPlan, Rows, Tensor};
use mixel_core::session::{Session, SessionError};

use crate::{Random, Report};

mixel_core::op_set! {
    /// Layers by the code of those that make parts.
    struct ByPart: LinearByPart, LinearPart, ConvByPart, ConvPart;
}

mixel_core::op_set! {
    /// The same without common ways, and layers that turn something.
    struct LeanByPart: LinearByPartLean, LinearPartLean, ConvByPartLean, ConvPartLean, LinearTurnedLean;
}

mixel_core::op_set! {
    /// The kernels without common ways.
    struct Lean: LinearLean, ConvLean, DepthwiseLean, SoftmaxLean, AttentionLean;
}

/// Why a case fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Failure {
    /// The buffer is too small for the case.
    Memory,
    /// The plan could not be written.
    Write(WriteError),
    /// The plan was refused.
    Plan(PlanError),
    /// The operator was refused when it was asked for its needs.
    Operator(Fault),
    /// The session did not start.
    Session(SessionError),
    /// A result differs from the reference.
    Difference {
        /// Element of the output.
        index: usize,
        /// What the reference says.
        expected: i32,
        /// What came out.
        found: i32,
        /// Bytes between the starts of input and output when they overlapped.
        overlap: Option<isize>,
        /// What computed it.
        backend: Backend,
    },
    /// Events of a stream differ from what they should be.
    Stream {
        /// How many there were.
        events: u64,
        /// How many there should be.
        expected: u64,
    },
    /// The machine does not have the backend.
    Backend(Backend),
    /// An overlap beyond what the operator allows was accepted.
    OverlapAccepted,
    /// A kernel without common ways took an operator that needs them.
    LeanAccepted,
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Memory => write!(f, "the buffer is too small for the case"),
            Self::Write(error) => write!(f, "{error}"),
            Self::Plan(error) => write!(f, "{error}"),
            Self::Operator(fault) => write!(f, "the operator was refused: {fault:?}"),
            Self::Session(error) => write!(f, "{error}"),
            Self::Backend(backend) => write!(f, "this machine has no {backend}"),
            Self::Difference { index, expected, found, overlap, backend } => {
                write!(f, "element {index} is {found} with {backend}, the reference says {expected}")?;
                overlap.map_or(Ok(()), |distance| write!(f, " (output {distance} bytes behind the input)"))
            }
            Self::Stream { events, expected } => {
                write!(f, "{events} events or what else was seen differ from the {expected} of the reference")
            }
            Self::OverlapAccepted => write!(f, "an overlap beyond the operator's reach was accepted"),
            Self::LeanAccepted => write!(f, "a kernel without common ways took an operator that needs them"),
        }
    }
}

impl core::error::Error for Failure {}

/// Looks at a plan.
pub type Inspect<'m> = dyn FnMut(&[u8]) + 'm;

/// A buffer that typed slices are taken from.
pub struct Pool<'m> {
    rest: &'m mut [u8],
    inspect: Option<&'m mut Inspect<'m>>,
}

impl<'m> Pool<'m> {
    /// A pool of all of `memory`.
    pub fn new(memory: &'m mut [u8]) -> Self {
        Self { rest: memory, inspect: None }
    }

    /// A pool for jobs whose plans are shown to `inspect` and not run.
    pub fn inspected(memory: &'m mut [u8], inspect: &'m mut Inspect<'m>) -> Self {
        Self { rest: memory, inspect: Some(inspect) }
    }

    /// `count` zeros, at a multiple of 16 bytes.
    ///
    /// # Errors
    /// [`Failure::Memory`].
    pub fn take<T: Pod>(&mut self, count: usize) -> Result<&'m mut [T], Failure> {
        let rest = core::mem::take(&mut self.rest);
        let skip = rest.as_ptr().align_offset(ALIGN);
        let bytes = count * size_of::<T>();
        if skip.checked_add(bytes).is_none_or(|end| end > rest.len()) {
            return Err(Failure::Memory);
        }
        let (taken, rest) = rest.split_at_mut(skip + bytes);
        self.rest = rest;
        let taken = &mut taken[skip..];
        taken.fill(0);
        bytemuck::try_cast_slice_mut(taken).map_err(|_| Failure::Memory)
    }

    /// `count` random values from `T`'s whole range, its ends among them.
    ///
    /// # Errors
    /// [`Failure::Memory`].
    pub fn random<T: Pod + Quantized>(
        &mut self,
        random: &mut Random,
        count: usize,
    ) -> Result<&'m mut [T], Failure> {
        let values = self.take::<T>(count)?;
        for value in values.iter_mut() {
            *value = T::narrow(match random.range(0, 15) {
                0 => T::MIN,
                1 => T::MAX,
                _ => random.range(T::MIN, T::MAX),
            });
        }
        Ok(values)
    }

    /// Random bias and scales for `count` channels with sums of `depth` products: the results cover int8 and saturate now
    /// and then. `fine` shifts less, for results of 16 bits.
    ///
    /// # Errors
    /// [`Failure::Memory`].
    pub fn channels(
        &mut self,
        random: &mut Random,
        count: usize,
        depth: usize,
        fine: bool,
    ) -> Result<ChannelData<'m>, Failure> {
        let data = ChannelData {
            bias: self.take(count)?,
            multiplier: self.take(count)?,
            shift: self.take(count)?,
            short: false,
        };
        let typical = 37 + (depth.max(1).ilog2() / 2) as i32 - if fine { 8 } else { 0 };
        for channel in 0..count {
            data.bias[channel] = random.range(-30_000, 30_000);
            data.multiplier[channel] = random.range(1 << 30, i32::MAX);
            data.shift[channel] = random.range(typical - 1, typical + 1) as u8;
        }
        Ok(data)
    }
}

/// Bias and scales of some channels.
pub struct ChannelData<'m> {
    bias: &'m mut [i32],
    multiplier: &'m mut [i32],
    shift: &'m mut [u8],
    short: bool,
}

impl ChannelData<'_> {
    /// As references take them.
    pub fn view(&self) -> Channels<'_> {
        Channels {
            bias: In::new(self.bias),
            multiplier: In::new(self.multiplier),
            shift: In::new(self.shift),
        }
    }

    /// Chooses the short form for some operators of which plans of `layout` may have it ([`short_channels`]). Whether it did.
    pub fn shorten(&mut self, kind: OpKind, layout: Layout, random: &mut Random) -> bool {
        use OpKind::{Conv, ConvPart, Depthwise, Linear, LinearPart};
        let may = matches!(kind, Linear | LinearPart | Conv | ConvPart | Depthwise)
            && matches!(layout, Layout::Generic | Layout::ArmDsp);
        self.short = may && random.range(0, 1) == 1 && short_channels::pack(&self.view(), |_| ()).is_some();
        self.short
    }

    /// Adds the block to a plan.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn write(&self, writer: &mut Writer<'_>) -> Result<Constant, WriteError> {
        if let Some(count) = short_channels::pack(&self.view(), |_| ()).filter(|_| self.short) {
            let offset = writer.data_with(count, |room| {
                let mut room = room.iter_mut();
                short_channels::pack(&self.view(), |byte| {
                    room.next().into_iter().for_each(|place| *place = byte)
                });
            })?;
            return Ok(Constant { offset, count });
        }
        let count = Channels::bytes(self.bias.len());
        let words = self.bias.iter().chain(self.multiplier.iter()).flat_map(|word| word.to_le_bytes());
        let bytes = words.chain(self.shift.iter().copied());
        let offset =
            writer.data_with(count, |room| room.iter_mut().zip(bytes).for_each(|(to, from)| *to = from))?;
        Ok(Constant { offset, count })
    }
}

/// `values` as references take them that know no types.
///
/// # Errors
/// [`Failure::Memory`].
pub fn widened<'m, X: Quantized>(pool: &mut Pool<'m>, values: &[X]) -> Result<&'m [i32], Failure> {
    let wide = pool.take::<i32>(values.len())?;
    wide.iter_mut().zip(values).for_each(|(wide, value)| *wide = value.wide());
    Ok(wide)
}

/// Results of such references in the output's type.
///
/// # Errors
/// [`Failure::Memory`].
pub fn narrowed<'m, Y: Pod + Quantized>(pool: &mut Pool<'m>, values: &[i32]) -> Result<&'m [Y], Failure> {
    let narrow = pool.take::<Y>(values.len())?;
    narrow.iter_mut().zip(values).for_each(|(narrow, &value)| *narrow = Y::narrow(value));
    Ok(narrow)
}

/// A tensor of a case, in the arena.
pub fn tensor(dtype: DType, dims: [usize; 4], zero_point: i32) -> Tensor {
    let dims = dims.map(|dim| dim as u32);
    Tensor { dtype, place: Place::Arena, dynamic: 0, rank: 4, dims, offset: 0, scale: 1.0, zero_point }
}

/// What is in every byte of an arena before a run.
pub const UNWRITTEN: u8 = 0xA5;

/// Where operands lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operands {
    /// At multiples of 16 bytes, and apart.
    Apart,
    /// Apart, those of bytes at odd places.
    Odd,
    /// The output so many bytes behind the first input.
    Overlapping(isize),
}

/// One operator with its operands.
pub struct Job<'a> {
    /// What it does.
    pub kind: OpKind,
    /// Weight order of the plan.
    pub layout: Layout,
    /// Inputs with the bytes of their values.
    pub inputs: &'a [(Tensor, &'a [u8])],
    /// The output.
    pub output: Tensor,
    /// Bound of the rows, and rows present.
    pub rows: (usize, usize),
}

impl Job<'_> {
    /// Runs the job as a plan and compares its output with `expected`, once with all operands apart, once with those of bytes at odd
    /// places and, if the operator allows it, once with the output overlapping the first input as far as it may. `params` writes constants and gives
    /// the parameters.
    ///
    /// # Errors
    /// What went wrong first.
    pub fn run<Y: Pod + Quantized>(
        &self,
        pool: Pool<'_>,
        expected: &[Y],
        mut params: impl FnMut(&mut Writer<'_>) -> Result<Params, WriteError>,
    ) -> Result<(), Failure> {
        self.run_with(pool, expected, &mut params)
    }

    /// [`Job::run`], once in the flash for all operators.
    #[inline(never)]
    fn run_with<Y: Pod + Quantized>(
        &self,
        mut pool: Pool<'_>,
        expected: &[Y],
        params: &mut dyn FnMut(&mut Writer<'_>) -> Result<Params, WriteError>,
    ) -> Result<(), Failure> {
        let rest = pool.rest.len();
        // Sections are written here and joined there: as much room again, and the rest is the arena's.
        let parts = pool.take::<u8>(rest * 3 / 8)?;
        let plan = pool.take::<u8>(rest * 3 / 8)?;
        let arena = pool.rest;
        let (length, reach) = self.write(parts, plan, Operands::Apart, params)?;
        if let Some(inspect) = pool.inspect {
            inspect(plan.get(..length).unwrap_or(&[]));
            return Ok(());
        }
        self.run_once(plan, arena, expected, None)?;
        self.write(parts, plan, Operands::Odd, params)?;
        self.run_on::<Y, All>(Backend::best(), plan, arena, expected, None)?;
        if let (bound @ 2.., present @ 1..) = self.rows {
            // The same rows, one of them there in any case.
            let job = Job { rows: (bound - 1, present - 1), ..*self };
            job.write(parts, plan, Operands::Apart, params)?;
            job.run_once(plan, arena, expected, None)?;
        }
        let Some(reach) = reach else { return Ok(()) };
        let input = self.inputs.first().map_or(0, |(tensor, _)| tensor.bytes());
        let align =
            self.output.dtype.size().max(self.inputs.first().map_or(1, |(tensor, _)| tensor.dtype.size()));
        let reach = (reach.clamp(-(self.output.bytes() as isize), input as isize)).div_euclid(align as isize)
            * align as isize;
        self.write(parts, plan, Operands::Overlapping(reach), params)?;
        self.run_once(plan, arena, expected, Some(reach))?;
        let beyond = reach + align as isize;
        if beyond < input as isize && beyond > -(self.output.bytes() as isize) {
            self.write(parts, plan, Operands::Overlapping(beyond), params)?;
            return match Plan::new_checked(plan) {
                Err(PlanError::Operator(_, _, Fault::Aliasing)) => Ok(()),
                _ => Err(Failure::OverlapAccepted),
            };
        }
        Ok(())
    }

    /// Writes the plan and gives its length and the operator's reach.
    fn write(
        &self,
        parts: &mut [u8],
        plan: &mut [u8],
        place: Operands,
        params: &mut dyn FnMut(&mut Writer<'_>) -> Result<Params, WriteError>,
    ) -> Result<(usize, Option<isize>), Failure> {
        let mut room = [512; Section::COUNT];
        room[Section::Data as usize] =
            parts.len().checked_sub(512 * Section::COUNT).ok_or(Failure::Memory)?;
        let mut writer = Writer::new(parts, room);
        let params = params(&mut writer)?;
        let (mut operands, mut end) = (heapless::Vec::<u16, 8>::new(), 0usize);
        let overlap = match place {
            Operands::Overlapping(distance) => Some(distance),
            Operands::Apart | Operands::Odd => None,
        };
        let odd = |tensor: &Tensor| usize::from(place == Operands::Odd && tensor.dtype.size() == 1);
        for (index, (tensor, _)) in self.inputs.iter().enumerate() {
            let shift = overlap.filter(|_| index == 0).map_or(0, |distance| (-distance).max(0) as usize);
            let offset = end + shift + odd(tensor);
            end = (offset + tensor.bytes()).next_multiple_of(ALIGN);
            let _ = operands.push(writer.tensor(&Tensor { offset: offset as u32, ..*tensor })?);
        }
        let offset = overlap.map_or(end, |distance| distance.max(0) as usize) + 3 * odd(&self.output);
        let output = writer.tensor(&Tensor { offset: offset as u32, ..self.output })?;
        end = end.max(offset + self.output.bytes()).next_multiple_of(ALIGN);
        writer.operator(self.kind, &operands, &[output], params.bytes())?;
        for &input in &operands {
            writer.port(input, Direction::Input, NO_NAME)?;
        }
        writer.port(output, Direction::Output, NO_NAME)?;
        let mut memory =
            MemorySizes { tensors: end as u32, max_rows: self.rows.0 as u32, ..MemorySizes::default() };
        let length = writer.finish(self.layout, memory, plan)?;
        let draft = RawPlan::open(plan.get(..length).unwrap_or(&[]))?;
        let operator = draft.operator(0).ok_or(Failure::Operator(Fault::Operands))?;
        let needs = kernels::needs(&operator).map_err(Failure::Operator)?;
        memory.scratch = needs.scratch.next_multiple_of(ALIGN) as u32;
        writer.finish(self.layout, memory, plan)?;
        Ok((length, needs.reach[0]))
    }

    fn run_once<Y: Pod + Quantized>(
        &self,
        plan: &[u8],
        arena: &mut [u8],
        expected: &[Y],
        overlap: Option<isize>,
    ) -> Result<(), Failure> {
        for &backend in Backend::ALL.iter().filter(|backend| backend.available()) {
            self.run_on::<Y, All>(backend, plan, arena, expected, overlap)?;
        }
        use OpKind::{Attention, Conv, ConvPart, Depthwise, Linear, LinearPart, LinearTurned, Softmax};
        // The same code again: a board without loops for lean kernels may have no room for it.
        let room = kernels::LOOPS || cfg!(not(target_os = "none"));
        if room && matches!(self.kind, Linear | LinearPart | Conv | ConvPart) {
            self.run_on::<Y, ByPart>(Backend::best(), plan, arena, expected, overlap)?;
        }
        if room && matches!(self.kind, Linear | LinearPart | LinearTurned | Conv | ConvPart) {
            self.run_lean::<Y, LeanByPart>(plan, arena, expected, overlap)?;
        }
        if matches!(self.kind, Linear | Conv | Depthwise | Softmax | Attention) {
            self.run_lean::<Y, Lean>(plan, arena, expected, overlap)?;
        }
        Ok(())
    }

    /// Without the common ways, or refused where they are needed.
    fn run_lean<Y: Pod + Quantized, O: OpSet>(
        &self,
        plan: &[u8],
        arena: &mut [u8],
        expected: &[Y],
        overlap: Option<isize>,
    ) -> Result<(), Failure> {
        let lean = RawPlan::open(plan)?.operator(0).is_some_and(|operator| kernels::lean(&operator));
        match (lean, Plan::<O>::with_ops(plan)) {
            (true, _) => self.run_on::<Y, O>(Backend::best(), plan, arena, expected, overlap),
            (false, Err(PlanError::Operator(_, _, Fault::Lean))) => Ok(()),
            (false, Err(error)) => Err(error.into()),
            (false, Ok(_)) => Err(Failure::LeanAccepted),
        }
    }

    fn run_on<Y: Pod + Quantized, O: OpSet>(
        &self,
        backend: Backend,
        plan: &[u8],
        arena: &mut [u8],
        expected: &[Y],
        overlap: Option<isize>,
    ) -> Result<(), Failure> {
        let plan = Plan::<O>::with_ops(plan)?;
        let skip = arena.as_ptr().align_offset(ALIGN);
        let arena = arena.get_mut(skip..).ok_or(Failure::Memory)?;
        // What an operator does not write must not look like a result.
        arena.get_mut(..plan.arena_bytes()).unwrap_or_default().fill(UNWRITTEN);
        let mut session = Session::new(plan, arena)?;
        session.set_backend(backend).ok_or(Failure::Backend(backend))?;
        session.set_rows(self.rows.1)?;
        for (index, (_, values)) in self.inputs.iter().enumerate() {
            session.input(index).copy_from_slice(values);
        }
        session.run();
        let found = bytemuck::try_cast_slice::<u8, Y>(session.output(0)).map_err(|_| Failure::Memory)?;
        let dims = self.output.dims.map(|dim| dim as usize);
        let present = self.output.dims_with(Rows::new(self.rows.1, self.rows.0));
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            let strides = [dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1];
            let inside = (0..4).all(|axis| index / strides[axis] % dims[axis] < present[axis]);
            if inside && found.wide() != expected.wide() {
                let (expected, found) = (expected.wide(), found.wide());
                return Err(Failure::Difference { index, expected, found, overlap, backend });
            }
        }
        if found.len() == expected.len() { Ok(()) } else { Err(Failure::Memory) }
    }
}

/// Memory and report for many cases.
pub struct Bench<'m, 'r> {
    memory: &'m mut [u8],
    report: &'r mut Report<'r>,
    every: usize,
    next: usize,
}

impl<'m, 'r> Bench<'m, 'r> {
    /// Cases run in `memory`, one after the other; of `every` cases one is run (1: all of them).
    pub fn new(memory: &'m mut [u8], every: usize, report: &'r mut Report<'r>) -> Self {
        Self { memory, report, every, next: 0 }
    }

    fn due(&mut self) -> bool {
        self.next += 1;
        self.next.is_multiple_of(self.every.max(1))
    }

    /// Runs `case` for every layout that the build accepts and reports it as "NAME LAYOUT"; names begin with the operator.
    pub fn each_layout(
        &mut self,
        name: core::fmt::Arguments<'_>,
        mut case: impl FnMut(Pool<'_>, Layout) -> Result<(), Failure>,
    ) {
        self.each_layout_with(name, &mut case);
    }

    /// [`Bench::each_layout`], once in the flash for all operators.
    #[inline(never)]
    fn each_layout_with(
        &mut self,
        name: core::fmt::Arguments<'_>,
        case: &mut dyn FnMut(Pool<'_>, Layout) -> Result<(), Failure>,
    ) {
        for layout in Layout::ALL.into_iter().filter(|&layout| arch::accepts(layout)) {
            if self.due() {
                let result = case(Pool::new(self.memory), layout);
                self.record(format_args!("{name} {layout:?}"), result);
            }
        }
    }

    /// Runs `case`, which has no weights in a layout's order, and reports it as `name`.
    pub fn once(
        &mut self,
        name: core::fmt::Arguments<'_>,
        case: impl FnOnce(Pool<'_>) -> Result<(), Failure>,
    ) {
        let mut case = Some(case);
        self.once_with(name, &mut |pool| case.take().map_or(Ok(()), |case| case(pool)));
    }

    /// [`Bench::once`], once in the flash for all operators.
    #[inline(never)]
    fn once_with(
        &mut self,
        name: core::fmt::Arguments<'_>,
        case: &mut dyn FnMut(Pool<'_>) -> Result<(), Failure>,
    ) {
        if self.due() {
            let result = case(Pool::new(self.memory));
            self.record(name, result);
        }
    }

    #[inline(never)]
    fn record(&mut self, name: core::fmt::Arguments<'_>, result: Result<(), Failure>) {
        let mut text = heapless::String::<96>::new();
        // A longer name is cut off.
        let _ = text.write_fmt(name);
        (self.report)(&text, result);
    }
}
