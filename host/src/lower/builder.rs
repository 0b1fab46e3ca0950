//! The program under construction.

use std::collections::{BTreeMap, HashMap};

use mixel_core::kernels::OpKind;
use mixel_core::kernels::requant::{Clamp, Scale};
use mixel_core::pack::Layout;
use mixel_core::plan::format::MAX_DIM;
use mixel_core::plan::write::Constant;
use mixel_core::plan::{DType, Direction, Interface, Place, Tensor};

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Clip, Node, Quantization, Shape, State, ValueId};
use crate::program::{Program, ProgramOperator, ProgramPort, ProgramTensor};
use crate::quantize::{Quantized, quantize_value};

/// A program and where each graph value is in it.
pub(super) struct Builder<'q> {
    pub quantized: &'q Quantized,
    pub program: Program,
    tensors: BTreeMap<ValueId, u16>,
    data: Pool,
    /// See [`Program::late`]; offsets from where they begin.
    late: Pool,
}

/// Constants, each of which is there once.
#[derive(Default)]
struct Pool {
    bytes: Vec<u8>,
    offsets: HashMap<Vec<u8>, u32>,
}

impl Pool {
    fn put(&mut self, bytes: &[u8], align: usize) -> Constant {
        let all = &mut self.bytes;
        let offset = *self.offsets.entry(bytes.to_vec()).or_insert_with(|| {
            all.resize(all.len().next_multiple_of(align), 0);
            all.extend_from_slice(bytes);
            (all.len() - bytes.len()) as u32
        });
        Constant { offset, count: bytes.len() }
    }
}

impl<'q> Builder<'q> {
    pub fn new(quantized: &'q Quantized, layout: Layout) -> Self {
        let program = Program {
            layout,
            tensors: Vec::new(),
            operators: Vec::new(),
            data: Vec::new(),
            late: 0,
            strips: Vec::new(),
            ports: Vec::new(),
            states: Vec::new(),
            front_end: quantized.graph.front_end.clone(),
            count_table: None,
            max_rows: quantized.graph.rows.as_ref().map_or(0, |rows| rows.max),
        };
        Self { quantized, program, tensors: BTreeMap::new(), data: Pool::default(), late: Pool::default() }
    }

    pub fn shape(&self, id: ValueId) -> &'q Shape {
        &self.quantized.graph.value(id).shape
    }

    /// Quantization of an activation.
    pub fn quantization(&self, id: ValueId) -> Result<Quantization> {
        let name = &self.quantized.graph.value(id).name;
        let missing = || Error::new(ErrorKind::Internal, name, "no quantization was chosen for this tensor");
        self.quantized.activation(id).ok_or_else(missing)
    }

    /// The real values of a constant.
    pub fn constant(&self, node: &Node, id: ValueId) -> Result<&'q [f32]> {
        match &self.quantized.graph.value(id).constant {
            Some(constant) => Ok(&constant.data),
            None => Err(Error::new(ErrorKind::Unsupported, &node.name, "an operand that must be a constant is not")
                .hint("only weights, biases and normalisation parameters that are stored in the model are supported")),
        }
    }

    /// The tensor that holds `id`, made when it is first asked for.
    pub fn tensor(&mut self, id: ValueId) -> Result<u16> {
        if let Some(&index) = self.tensors.get(&id) {
            return Ok(index);
        }
        let value = self.quantized.graph.value(id);
        let quantization = self.quantized.activation(id);
        let mut tensor = tensor_of(&value.shape, quantization, &value.name)?;
        if let (Some(constant), Some(quantization)) = (&value.constant, quantization) {
            let integers = constant.data.iter().map(|&x| quantize_value(x as f64, &quantization));
            let bytes: Vec<u8> = match quantization.dtype {
                DType::I16 => integers.flat_map(|q| (q as i16).to_le_bytes()).collect(),
                _ => integers.map(|q| q as i8 as u8).collect(),
            };
            tensor.offset = self.data(&bytes).offset;
            tensor.place = Place::Data;
        }
        let index = self.push(tensor, value.name.clone(), Some(id))?;
        self.tensors.insert(id, index);
        Ok(index)
    }

    /// Makes `id` another view of the memory of tensor `of`.
    pub fn alias(&mut self, id: ValueId, of: u16) -> Result<u16> {
        let root = self.program.tensors[of as usize].alias_of.unwrap_or(of);
        let value = self.quantized.graph.value(id);
        let mut tensor = tensor_of(&value.shape, self.quantized.activation(id), &value.name)?;
        let source = &self.program.tensors[root as usize].tensor;
        (tensor.place, tensor.offset) = (source.place, source.offset);
        let index = self.push(tensor, value.name.clone(), Some(id))?;
        self.program.tensors[index as usize].alias_of = Some(root);
        self.tensors.insert(id, index);
        Ok(index)
    }

    /// A tensor between two operators of one node.
    pub fn temporary(&mut self, name: String, shape: &Shape, quantization: Quantization) -> Result<u16> {
        let tensor = tensor_of(shape, Some(quantization), &name)?;
        self.push(tensor, name, None)
    }

    fn push(&mut self, tensor: Tensor, name: String, value: Option<ValueId>) -> Result<u16> {
        let index = u16::try_from(self.program.tensors.len())
            .map_err(|_| Error::new(ErrorKind::Unsupported, &name, "more than 65535 tensors"))?;
        self.program.tensors.push(ProgramTensor { tensor, name, value, alias_of: None });
        Ok(index)
    }

    /// Puts constants where the layout wants them; the same bytes are stored once.
    pub fn data(&mut self, bytes: &[u8]) -> Constant {
        self.data.put(bytes, self.program.layout.align())
    }

    /// Signed bytes of an operator that is given them as [`crate::program::ProgramOperator::late`].
    pub fn late(&mut self, values: &[i8]) -> Constant {
        let bytes: Vec<u8> = values.iter().map(|&value| value as u8).collect();
        self.late.put(&bytes, self.program.layout.align())
    }

    /// The program, when all operators are there.
    pub fn finish(self) -> Program {
        let Self { mut program, data, late, .. } = self;
        program.data = data.bytes;
        program.data.resize(program.data.len().next_multiple_of(program.layout.align()), 0);
        program.late = program.data.len();
        program.data.extend(late.bytes);
        for operator in &mut program.operators {
            let mut late = operator.late();
            late.iter_mut().for_each(|constant| constant.offset += program.late as u32);
            operator.set_late(&late);
        }
        program
    }

    /// Signed bytes as constants.
    pub fn signed(&mut self, values: &[i8]) -> Constant {
        self.data(&values.iter().map(|&value| value as u8).collect::<Vec<u8>>())
    }

    /// Biases and factors of output channels as kernels read them.
    pub fn channels(&mut self, bias: &[i32], scales: &[Scale]) -> Constant {
        let mut bytes: Vec<u8> = bias.iter().flat_map(|bias| bias.to_le_bytes()).collect();
        bytes.extend(scales.iter().flat_map(|scale| scale.multiplier.to_le_bytes()));
        bytes.extend(scales.iter().map(|scale| scale.shift));
        self.late.put(&bytes, self.program.layout.align())
    }

    /// Appends an operator.
    pub fn operator(&mut self, name: &str, kind: OpKind, inputs: &[u16], output: u16, params: &[u8]) {
        self.program.operators.push(ProgramOperator {
            kind,
            inputs: inputs.to_vec(),
            outputs: vec![output],
            params: params.to_vec(),
            name: name.to_owned(),
        });
    }

    /// Appends an operator from `node`'s first input to its output.
    pub fn unary(&mut self, node: &Node, kind: OpKind, params: &[u8]) -> Result<()> {
        let (input, output) = (self.tensor(node.inputs[0])?, self.tensor(node.output)?);
        self.operator(&node.name, kind, &[input], output, params);
        Ok(())
    }

    /// Makes the input of `state` a tensor that is kept, with its first value.
    pub fn state(&mut self, state: &State) -> Result<()> {
        let (tensor, initial) = (self.tensor(state.input)?, self.tensor(state.initial)?);
        self.program.tensors[tensor as usize].tensor.place = Place::State;
        self.program.states.push((tensor, initial));
        Ok(())
    }

    /// The token values of the counts 0 to 255 for a front end over events: `ln(1 + count)` as the first input has it.
    pub fn count_table(&mut self) -> Result<()> {
        let Some(&tokens) =
            self.quantized.graph.inputs.first().filter(|_| self.program.front_end.events.is_some())
        else {
            return Ok(());
        };
        let quantization = self.quantization(tokens)?;
        let value = |count: u8| quantize_value(f64::from(count).ln_1p(), &quantization) as i8;
        let table: Vec<i8> = (0..=u8::MAX).map(value).collect();
        self.program.count_table = Some(self.signed(&table).offset);
        Ok(())
    }

    /// The name of a value.
    pub fn name(&self, id: ValueId) -> &'q str {
        &self.quantized.graph.value(id).name
    }

    pub fn port(&mut self, id: ValueId, direction: Direction) -> Result<()> {
        let tensor = self.tensor(id)?;
        let name = self.quantized.graph.value(id).name.clone();
        let channels_first = self.quantized.graph.channels_first.contains(&id);
        let interface = Interface::Integers;
        self.program.ports.push(ProgramPort { tensor, direction, interface, channels_first, name });
        Ok(())
    }
}

/// A tensor of `shape` in the arena: dimensions filled up with ones in front, or folded together in front when there are
/// more than four. Without a quantization it holds fingerprint bins.
fn tensor_of(shape: &Shape, quantization: Option<Quantization>, name: &str) -> Result<Tensor> {
    let (dims, dynamic) = four(shape, name)?;
    let (dtype, scale, zero_point) = match quantization {
        Some(quantization) => (quantization.dtype, quantization.scale, quantization.zero_point),
        None => (DType::U16, 1.0, 0),
    };
    let rank = shape.rank().clamp(1, 4) as u8;
    Ok(Tensor { dtype, place: Place::Arena, dynamic, rank, dims, offset: 0, scale, zero_point })
}

/// Four dimensions for any rank, and which of them vary.
pub(super) fn four(shape: &Shape, name: &str) -> Result<([u32; 4], u8)> {
    let mut dims = [1u32; 4];
    let mut dynamic = 0;
    for (axis, &dim) in shape.dims.iter().enumerate() {
        let place = (axis + 4).saturating_sub(shape.rank());
        let folded = dims[place] as usize * dim;
        if (shape.is_dynamic(axis) || dynamic >> place & 1 == 1) && folded != dim && dim != 1 {
            return Err(Error::new(
                ErrorKind::Unsupported,
                name,
                format!("a tensor of shape {shape} has too many dimensions beside the one that varies"),
            ));
        }
        if shape.is_dynamic(axis) {
            dynamic |= 1 << place;
        }
        let bounded = u32::try_from(folded).ok().filter(|&dim| dim < MAX_DIM);
        dims[place] = bounded.ok_or_else(|| {
            Error::new(ErrorKind::Shape, name, format!("shape {shape} has a dimension of 2^24 or more"))
        })?;
    }
    Ok((dims, dynamic))
}

/// The integers of a fused range under the output's quantization.
pub(super) fn clamp(clip: Clip, output: &Quantization) -> Clamp {
    let bound = |real: f32| quantize_value(real as f64, output);
    Clamp { zero_point: output.zero_point, min: bound(clip.min), max: bound(clip.max) }
}
