//! Running a plan: an arena, inputs, a run, outputs.

use crate::arch::Backend;
use crate::arch::view::Arena;
use crate::events::histogram::Histogram;
use crate::events::patch::Emitted;
use crate::kernels::feed::FeedParams;
use crate::kernels::{Execute, OpKind, OpSet, Run, short_channels};
use crate::plan::format::Section;
use crate::plan::strips::{Group, Keep, Room, Stage, Walk};
use crate::plan::{DType, Direction, FrontEnd, Operator, Place, Plan, Rows, Tensor};
use crate::profile::{Observer, Unobserved};
use crate::text::Words;

/// Why a session does not start or does not take an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionError {
    /// The arena is too small; the number of bytes that the plan needs.
    ArenaTooSmall(usize),
    /// The arena does not lie at a multiple of 16 bytes.
    ArenaMisaligned,
    /// More rows than the plan's bound, which is given.
    TooManyRows(usize),
    /// The plan has no text front end; fill its inputs instead.
    NotText,
    /// The plan has no event front end; fill its inputs instead.
    NotEvents,
    /// The memory for the counts of a window is too small.
    EventMemory,
}

impl core::fmt::Display for SessionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::ArenaTooSmall(needed) => write!(f, "the arena is too small: the plan needs {needed} bytes"),
            Self::ArenaMisaligned => f.write_str("the arena must lie at a multiple of 16 bytes"),
            Self::TooManyRows(bound) => write!(f, "more rows than the plan's bound of {bound}"),
            Self::NotEvents => f.write_str("the plan has no event front end; fill its inputs instead"),
            Self::EventMemory => f.write_str(
                "the memory for the counts of a window is too small: ask the front end for its sizes",
            ),
            Self::NotText => f.write_str("the plan has no text front end; fill its inputs instead"),
        }
    }
}

impl core::error::Error for SessionError {}

/// The rows of images on their way into and out of a plan that takes them row by row ([`crate::plan::strips`]), so that they may
/// be larger than the arena.
pub trait Stream {
    /// Fills `rows` with the rows of input `input` from row `first` on, in the order of its tensor. Rows come in order, and again
    /// from the first for each group of operators that reads the input.
    fn feed(&mut self, input: usize, first: usize, rows: &mut [u8]);

    /// Takes the rows of output `output` from row `first` on. Rows come in order, each once.
    fn take(&mut self, output: usize, first: usize, rows: &[u8]);
}

/// What plans have that hold their images whole. A plan that streams has zero points for input with it, and its outputs are lost.
struct Whole;

impl Stream for Whole {
    fn feed(&mut self, _input: usize, _first: usize, _rows: &mut [u8]) {}
    fn take(&mut self, _output: usize, _first: usize, _rows: &[u8]) {}
}

/// A plan with the memory to run it.
pub struct Session<'p, 'a, O> {
    plan: Plan<'p, O>,
    arena: Arena<'a>,
    rows: usize,
    backend: Backend,
}

impl<'p, 'a, O: OpSet> Session<'p, 'a, O> {
    /// Takes `arena`, at least [`crate::plan::RawPlan::arena_bytes`] long and aligned to 16 bytes, and resets the state.
    ///
    /// # Errors
    /// [`SessionError::ArenaTooSmall`], [`SessionError::ArenaMisaligned`].
    pub fn new(plan: Plan<'p, O>, arena: &'a mut [u8]) -> Result<Self, SessionError> {
        let needed = plan.arena_bytes();
        let arena = arena.get_mut(..needed).ok_or(SessionError::ArenaTooSmall(needed))?;
        if arena.as_ptr().align_offset(crate::plan::format::ALIGN) != 0 {
            return Err(SessionError::ArenaMisaligned);
        }
        let rows = plan.max_rows();
        let mut session = Self { plan, arena: Arena::new(arena), rows, backend: Backend::best() };
        session.reset();
        Ok(session)
    }

    /// Computes with `backend` from now on; none when this machine does not have it. At the start it is the fastest.
    pub fn set_backend(&mut self, backend: Backend) -> Option<()> {
        self.backend = Backend::with(backend)?;
        Some(())
    }

    /// The plan.
    pub fn plan(&self) -> &Plan<'p, O> {
        &self.plan
    }

    /// Sets all state back to what it is before the first run: what the plan gives for it, else each tensor's zero point.
    pub fn reset(&mut self) {
        if !O::STATES {
            return;
        }
        for index in 0..self.plan.tensor_count() as u16 {
            let Ok(tensor) = self.plan.tensor(index) else { continue };
            if tensor.place == Place::State {
                let zero = tensor.zero_point.to_le_bytes();
                let zeros = zero.iter().take(tensor.dtype.size()).cycle();
                self.bytes_mut(&tensor).iter_mut().zip(zeros).for_each(|(byte, zero)| *byte = *zero);
            }
        }
        let plan = self.plan;
        for state in plan.states() {
            let (Ok(tensor), Ok(initial)) = (plan.tensor(state.tensor), plan.tensor(state.initial)) else {
                continue;
            };
            let values = plan.section(Section::Data).iter().skip(initial.offset as usize);
            self.bytes_mut(&tensor).iter_mut().zip(values).for_each(|(byte, value)| *byte = *value);
        }
    }

    /// Rows present in the dimensions that vary at run time, from now on. At the start it is the bound.
    ///
    /// # Errors
    /// [`SessionError::TooManyRows`].
    pub fn set_rows(&mut self, rows: usize) -> Result<(), SessionError> {
        if rows > self.plan.max_rows() {
            return Err(SessionError::TooManyRows(self.plan.max_rows()));
        }
        self.rows = rows;
        Ok(())
    }

    /// Input `index` as little-endian bytes of its tensor, row-major, at the bound of its shape; empty when there is none.
    /// Its memory is used for other tensors during a run: write it whole before each one.
    pub fn input(&mut self, index: usize) -> &mut [u8] {
        match self.port(Direction::Input, index) {
            Some(tensor) => self.bytes_mut(&tensor),
            None => &mut [],
        }
    }

    /// Output `index` of the last run, as [`Session::input`].
    pub fn output(&self, index: usize) -> &[u8] {
        match self.port(Direction::Output, index) {
            Some(tensor) => self.bytes(&tensor),
            None => &[],
        }
    }

    /// Fills the first input from text, any bytes, through the plan's text front end. Rows without a word hold
    /// [`crate::text::ABSENT`]. Words beyond the model's length are cut off and counted in the answer.
    ///
    /// # Errors
    /// [`SessionError::NotText`].
    pub fn set_text(&mut self, text: &[u8]) -> Result<Words, SessionError> {
        let input = self.port(Direction::Input, 0);
        let (FrontEnd::Text { text: front_end, .. }, Some(input)) = (self.plan.front_end(), input) else {
            return Err(SessionError::NotText);
        };
        let bins = self.arena.u16_mut(input.offset as usize, input.elements());
        let words = front_end.encode(text, bins).map_err(|_| SessionError::NotText)?;
        let absent = bins.get_mut(words.present * front_end.n()..).unwrap_or_default();
        absent.fill(crate::text::ABSENT);
        Ok(words)
    }

    /// Fills the inputs with the active patches of a window, which is emptied, and sets the number of rows to theirs.
    /// `values` are the token values of the counts 0 to 255.
    pub(crate) fn set_tokens(&mut self, histogram: &mut Histogram<'_>, values: &[u8; 256]) -> Emitted {
        let inputs = [0, 1].map(|index| self.port(Direction::Input, index));
        let [Some(tokens), Some(patches)] = inputs else { return Emitted::default() };
        let dim = tokens.inner();
        let lease = self.arena.lease();
        let rows = lease.window::<u8>(tokens.offset as usize, tokens.elements());
        let numbers = lease.window::<u16>(patches.offset as usize, patches.elements());
        let emitted = histogram.emit(|token| {
            let row = rows.window(token.index * dim, dim);
            for (at, &count) in token.values.iter().enumerate() {
                row.set(at, values[count as usize]);
            }
            numbers.set(token.index, token.patch);
        });
        self.rows = emitted.tokens.min(self.plan.max_rows());
        emitted
    }

    /// Runs all operators.
    pub fn run(&mut self) {
        self.run_observed(&mut Unobserved);
    }

    /// Runs all operators and tells `observer` of each.
    pub fn run_observed<T: Observer>(&mut self, observer: &mut T) {
        self.run_streamed(&mut Whole, observer);
    }

    /// Runs all operators with images that come and go by rows through `stream` where the plan says so
    /// ([`crate::plan::RawPlan::streamed`]), and tells `observer` of each.
    pub fn run_streamed<S: Stream, T: Observer>(&mut self, stream: &mut S, observer: &mut T) {
        let mut next = 0;
        if O::STRIPS {
            for group in self.plan.groups() {
                self.run_range(next..group.first, observer);
                self.run_group(group, stream, observer);
                next = group.operators().end;
            }
        }
        self.run_range(next..self.plan.operator_count(), observer);
    }

    fn run_range<T: Observer>(&mut self, operators: core::ops::Range<usize>, observer: &mut T) {
        for index in operators {
            if let Some(operator) = self.plan.operator(index) {
                self.run_operator(index, &operator, observer);
            }
        }
    }

    /// Out of line, and with nothing of the caller's borrowed, so that what has no strips needs no stack for it.
    #[inline(never)]
    fn run_group<S: Stream, T: Observer>(&mut self, group: Group<'_>, stream: &mut S, observer: &mut T) {
        O::Strips::lend(group.count, move |room| self.run_strips(room, group, stream, observer));
    }

    /// Every operator of the group in turn, as long as rows of the last output are missing. Out of line, so that it is there once for
    /// all rooms.
    #[inline(never)]
    fn run_strips<S: Stream, T: Observer>(
        &mut self,
        room: &mut [Stage],
        group: Group<'_>,
        stream: &mut S,
        observer: &mut T,
    ) {
        let Ok(mut walk) = Walk::enter(*self.plan, group, room) else { return };
        while walk.advance() {
            for (index, at) in group.operators().enumerate() {
                let Some(mut operator) = self.plan.operator(at) else { return };
                if let Some(Keep { tensor, from, bytes }) = walk.keep(index, &operator) {
                    let start = self.base(&tensor);
                    let lease = self.arena.lease();
                    let memory = lease.window::<u8>(start, tensor.bytes());
                    memory.copy_from(&memory.reader().window(from, bytes));
                }
                if let Ok(Some(view)) = walk.view(index, &operator) {
                    operator.look(view);
                    let first = walk.rows(index).start;
                    if operator.kind == OpKind::Feed {
                        self.feed(&operator, first, stream);
                    } else {
                        self.run_operator(at, &operator, observer);
                    }
                    if group.streams && index + 1 == group.count {
                        self.give(&operator, first, stream);
                    }
                }
                walk.done(index);
            }
        }
    }

    /// Has the rows of an input filled that `operator` sees as its output.
    fn feed<S: Stream>(&mut self, operator: &Operator<'_>, first: usize, stream: &mut S) {
        let (Some(params), Ok(rows)) = (FeedParams::read(operator.params()), operator.output(0)) else {
            return;
        };
        let bytes = self.bytes_mut(&rows);
        if rows.dtype == DType::I8 {
            bytes.fill(rows.zero_point as u8);
        }
        stream.feed(params.input as usize, first, bytes);
    }

    /// Gives away the rows that `operator`, the last one of a group that streams, has made.
    fn give<S: Stream>(&self, operator: &Operator<'_>, first: usize, stream: &mut S) {
        let tensor = operator.tensor_index(operator.inputs as usize);
        let output = self.plan.outputs().position(|port| port.tensor == tensor);
        if let (Some(output), Ok(rows)) = (output, operator.output(0)) {
            stream.take(output, first, self.bytes(&rows));
        }
    }

    /// Out of line, so that the operators are linked once.
    #[inline(never)]
    fn run_operator<T: Observer>(&mut self, index: usize, operator: &Operator<'_>, observer: &mut T) {
        if T::WATCHES {
            observer.begin(index);
        }
        {
            let rows = Rows::new(self.rows, self.plan.max_rows());
            let lease = self.arena.lease();
            let unpacked = if O::SHORT_CHANNELS { short_channels::unpacked(operator, &lease) } else { None };
            let (operator, reserved) = match &unpacked {
                Some((channels, bytes)) => (operator.with_channels(channels), *bytes),
                None => (*operator, 0),
            };
            let run = Run { operator, lease: &lease, rows, backend: self.backend, reserved };
            O::visit(operator.kind, Execute(run));
        }
        if T::WATCHES {
            let output = operator.output(0).map_or(&[][..], |tensor| self.bytes(&tensor));
            observer.end(index, output);
        }
    }

    fn port(&self, direction: Direction, index: usize) -> Option<Tensor> {
        let port = self.plan.ports().filter(|port| port.direction == direction).nth(index)?;
        self.plan.tensor(port.tensor).ok()
    }

    fn base(&self, tensor: &Tensor) -> usize {
        let region = match tensor.place {
            Place::State => self.plan.tensor_bytes() + self.plan.scratch_bytes(),
            Place::Arena | Place::Data => 0,
        };
        region + tensor.offset as usize
    }

    fn bytes(&self, tensor: &Tensor) -> &[u8] {
        self.arena.bytes(self.base(tensor), tensor.bytes())
    }

    fn bytes_mut(&mut self, tensor: &Tensor) -> &mut [u8] {
        self.arena.bytes_mut(self.base(tensor), tensor.bytes())
    }
}
