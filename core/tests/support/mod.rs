//! One operator as a plan of its own: built, verified, run, and run again with its output overlapping its inputs.
#![allow(dead_code)]

use mixel_core::kernels::requant::Scale;
use mixel_core::kernels::{OpKind, needs};
use mixel_core::pack::Layout;
use mixel_core::plan::format::Section;
use mixel_core::plan::write::{Constant, MemorySizes, Params, Writer};
use mixel_core::plan::{DType, Fault, Operator, Place, PlanError, RawPlan, Rows, Tensor};
use mixel_core::{Plan, Session};

/// Bytes at a multiple of 16, as plans and arenas must be.
pub struct Aligned {
    memory: Vec<u8>,
    len: usize,
}

impl Aligned {
    pub fn new(len: usize) -> Self {
        Self { memory: vec![0; len + 16], len }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        let start = self.memory.as_ptr().align_offset(16);
        &mut self.memory[start..start + self.len]
    }
}

/// Random numbers that are the same everywhere (xorshift64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From `low` to `high`, both included.
    pub fn range(&mut self, low: i32, high: i32) -> i32 {
        low + (self.next() >> 11).rem_euclid((high - low) as u64 + 1) as i32
    }

    pub fn real(&mut self, low: f64, high: f64) -> f64 {
        low + (self.next() >> 11) as f64 / (1u64 << 53) as f64 * (high - low)
    }

    /// Values of all of `tensor`.
    pub fn fill(&mut self, tensor: &Tensor) -> Vec<i32> {
        let (low, high) = tensor.dtype.range();
        (0..tensor.elements()).map(|_| self.range(low, high)).collect()
    }
}

pub fn tensor(dtype: DType, dims: [u32; 4], zero_point: i32) -> Tensor {
    Tensor { dtype, place: Place::Arena, dynamic: 0, rank: 4, dims, offset: 0, scale: 1.0, zero_point }
}

/// A real factor with a 31-bit (or `bits`-bit) numerator.
pub fn scale_bits(real: f64, bits: i32) -> Scale {
    if real == 0.0 {
        return Scale { multiplier: 0, shift: 1 };
    }
    let shift = (bits - 1 - real.abs().log2().floor() as i32).min(62);
    Scale { multiplier: (real * 2f64.powi(shift)).round().min(i32::MAX as f64) as i32, shift: shift as u8 }
}

pub fn scale(real: f64) -> Scale {
    scale_bits(real, 31)
}

pub fn real(scale: Scale) -> f64 {
    scale.multiplier as f64 / 2f64.powi(scale.shift as i32)
}

/// The data section.
#[derive(Clone, Default)]
pub struct Data(pub Vec<u8>);

impl Data {
    fn push(&mut self, count: usize, bytes: impl IntoIterator<Item = u8>) -> Constant {
        self.0.resize(self.0.len().next_multiple_of(16), 0);
        let offset = self.0.len() as u32;
        self.0.extend(bytes);
        Constant { offset, count }
    }

    pub fn i8(&mut self, values: &[i8]) -> Constant {
        self.push(values.len(), values.iter().map(|&value| value as u8))
    }

    pub fn i16(&mut self, values: &[i16]) -> Constant {
        self.push(values.len(), values.iter().flat_map(|value| value.to_le_bytes()))
    }

    pub fn u16(&mut self, values: &[u16]) -> Constant {
        self.push(values.len(), values.iter().flat_map(|value| value.to_le_bytes()))
    }

    pub fn i32(&mut self, values: &[i32]) -> Constant {
        self.push(values.len(), values.iter().flat_map(|value| value.to_le_bytes()))
    }

    pub fn u32(&mut self, values: &[u32]) -> Constant {
        self.push(values.len(), values.iter().flat_map(|value| value.to_le_bytes()))
    }

    /// A tensor of the data section.
    pub fn tensor(&mut self, mut tensor: Tensor, values: &[i32]) -> Tensor {
        let constant = self.push(values.len(), encode(tensor.dtype, values));
        tensor.place = Place::Data;
        tensor.offset = constant.offset;
        tensor
    }
}

fn encode(dtype: DType, values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes().into_iter().take(dtype.size())).collect()
}

fn decode(dtype: DType, bytes: &[u8]) -> Vec<i32> {
    let value = |bytes: &[u8]| match dtype {
        DType::I8 => bytes[0] as i8 as i32,
        DType::U8 => bytes[0] as i32,
        DType::I16 => i16::from_le_bytes([bytes[0], bytes[1]]) as i32,
        DType::U16 => u16::from_le_bytes([bytes[0], bytes[1]]) as i32,
        DType::I32 => i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
    };
    bytes.chunks_exact(dtype.size()).map(value).collect()
}

/// One operator with its operands.
#[derive(Clone)]
pub struct Case {
    pub kind: OpKind,
    /// Arena inputs without offsets, data inputs with theirs.
    pub inputs: Vec<Tensor>,
    pub output: Tensor,
    pub params: Params,
    pub data: Data,
    /// Bound and number of rows present.
    pub rows: (usize, usize),
}

/// What the output holds where the operator writes nothing.
pub const UNTOUCHED: u8 = 0x55;

impl Case {
    pub fn new(kind: OpKind, inputs: &[Tensor], output: Tensor, params: Params) -> Self {
        Self { kind, inputs: inputs.to_vec(), output, params, data: Data::default(), rows: (0, 0) }
    }

    pub fn with_data(self, data: Data) -> Self {
        Self { data, ..self }
    }

    pub fn with_rows(self, bound: usize, present: usize) -> Self {
        Self { rows: (bound, present), ..self }
    }

    /// Inputs one after the other, then the output; or the output `distance` bytes from arena input `over`.
    fn place(&self, over: Option<(usize, isize)>) -> (Vec<Tensor>, Tensor, usize) {
        // Room for an output that begins in front of everything.
        let mut end = self.output.bytes().next_multiple_of(16) + 64;
        let mut inputs = self.inputs.clone();
        for input in inputs.iter_mut().filter(|input| input.place == Place::Arena) {
            input.offset = end as u32;
            end += input.bytes().next_multiple_of(16);
            if over.is_some() {
                end += self.output.bytes().next_multiple_of(16) + 64;
            }
        }
        let mut output = self.output;
        output.offset = match over {
            Some((input, distance)) => (inputs[input].offset as isize + distance) as u32,
            None => end as u32,
        };
        (inputs, output, end + self.output.bytes().next_multiple_of(16) + 64)
    }

    fn write(&self, inputs: &[Tensor], output: &Tensor, arena: usize) -> Aligned {
        let mut memory = vec![0; self.data.0.len() + 4096];
        let mut room = [256; Section::COUNT];
        room[Section::Data as usize] = self.data.0.len() + 16;
        let mut writer = Writer::new(&mut memory, room);
        writer.data(&self.data.0).unwrap();
        let ids: Vec<u16> = inputs.iter().map(|tensor| writer.tensor(tensor).unwrap()).collect();
        let id = writer.tensor(output).unwrap();
        writer.operator(self.kind, &ids, &[id], self.params.bytes()).unwrap();
        let sizes =
            MemorySizes { tensors: arena as u32, scratch: 1 << 16, state: 0, max_rows: self.rows.0 as u32 };
        let mut plan = Aligned::new(self.data.0.len() + 4096);
        plan.len = writer.finish(Layout::Generic, sizes, plan.bytes()).unwrap();
        plan
    }

    /// The output after a run, from the input values (one list an arena input).
    pub fn run_over(&self, values: &[Vec<i32>], over: Option<(usize, isize)>) -> Result<Vec<i32>, PlanError> {
        let (inputs, output, arena) = self.place(over);
        let mut plan = self.write(&inputs, &output, arena);
        let plan = Plan::new_checked(plan.bytes())?;
        let mut memory = Aligned::new(plan.arena_bytes());
        let memory = memory.bytes();
        let at = |tensor: &Tensor| tensor.offset as usize..tensor.offset as usize + tensor.bytes();
        memory[at(&output)].fill(UNTOUCHED);
        let arena_inputs = inputs.iter().filter(|input| input.place == Place::Arena);
        for (input, values) in arena_inputs.zip(values) {
            assert_eq!(input.elements(), values.len());
            memory[at(input)].copy_from_slice(&encode(input.dtype, values));
        }
        let mut session = Session::new(plan, memory).unwrap();
        session.set_rows(self.rows.1).unwrap();
        session.run();
        Ok(decode(output.dtype, &memory[at(&output)]))
    }

    /// The output; and the same output when it overlaps an input as far as the operator says that it may, and no further.
    pub fn run(&self, values: &[Vec<i32>]) -> Vec<i32> {
        let y = self.run_over(values, None).unwrap_or_else(|error| panic!("{:?}: {error}", self.kind));
        let step = self.output.dtype.size() as isize;
        for (input, x) in self.inputs.iter().enumerate().filter(|(_, x)| x.place == Place::Arena) {
            let Some(reach) = self.reach(input) else {
                assert_eq!(self.refusal(input, 0), Some(Fault::Aliasing));
                continue;
            };
            let reach = reach.div_euclid(step) * step;
            for distance in [0, 1, 2, 7, 16].map(|back| reach - back * step) {
                let over = self.run_over(values, Some((input, distance))).unwrap();
                let same = self.present(&y) == self.present(&over);
                assert!(same, "{:?} over input {input} by {distance}", self.kind);
            }
            if reach + step < x.bytes() as isize {
                assert_eq!(self.refusal(input, reach + step), Some(Fault::Aliasing));
            }
        }
        y
    }

    /// The elements of `y` that are present.
    fn present(&self, y: &[i32]) -> Vec<i32> {
        let dims = self.output.dims_with(Rows::new(self.rows.1, self.rows.0));
        let bound = self.output.dims.map(|dim| dim as usize);
        let present = |index: usize| {
            let mut rest = index;
            (0..4).rev().all(|axis| {
                let i = rest % bound[axis];
                rest /= bound[axis];
                i < dims[axis]
            })
        };
        y.iter().enumerate().filter(|(index, _)| present(*index)).map(|(_, value)| *value).collect()
    }

    /// Why the plan is refused, with the output at `distance` from an input.
    pub fn refusal(&self, input: usize, distance: isize) -> Option<Fault> {
        let (inputs, output, arena) = self.place(Some((input, distance)));
        match Plan::new_checked(self.write(&inputs, &output, arena).bytes()) {
            Err(PlanError::Operator(_, _, fault)) => Some(fault),
            _ => None,
        }
    }

    /// Why the plan is refused.
    pub fn fault(&self) -> Option<Fault> {
        let (inputs, output, arena) = self.place(None);
        match Plan::new_checked(self.write(&inputs, &output, arena).bytes()) {
            Err(PlanError::Operator(_, _, fault)) => Some(fault),
            _ => None,
        }
    }

    fn reach(&self, input: usize) -> Option<isize> {
        let (inputs, output, arena) = self.place(None);
        let mut plan = self.write(&inputs, &output, arena);
        let raw = RawPlan::open(plan.bytes()).unwrap();
        let operator: Operator<'_> = raw.operator(0).unwrap();
        needs(&operator).unwrap().reach[input]
    }

    /// The plan's bytes and arena size, for tests that damage it.
    pub fn plan(&self) -> Aligned {
        let (inputs, output, arena) = self.place(None);
        self.write(&inputs, &output, arena)
    }
}

/// Largest distance of `y` from the real values `exact`, which are clamped to the type first.
pub fn worst(y: &[i32], exact: &[f64], dtype: DType) -> f64 {
    let (low, high) = dtype.range();
    let distance = |(y, exact): (&i32, &f64)| (*y as f64 - exact.clamp(low as f64, high as f64)).abs();
    assert_eq!(y.len(), exact.len());
    y.iter().zip(exact).map(distance).fold(0.0, f64::max)
}
