//! The forms in which weights are stored, and what each takes.

use mixel_core::kernels::OpKind;
use mixel_core::pack::{Bitmap, Depth, Int4Order, Layout};
use mixel_core::plan::DType;
use mixel_core::plan::write::Constant;

use super::builder::Builder;
use crate::graph::{Node, Op, Quantization, Shape};
use crate::quantize::{WeightForm, Weights, fits_int4};

/// Whether a kernel for `node` with weights of `shape` takes them in `form`.
pub(crate) fn packs(node: &Node, shape: &Shape, form: WeightForm) -> bool {
    let single = |groups: usize| groups > 1 && shape.dims.get(3) == Some(&1);
    match (&node.op, form) {
        (_, WeightForm::Int8 | WeightForm::Auto) | (Op::Linear { .. }, _) => true,
        (Op::Conv { groups, .. }, _) => !single(*groups),
        (Op::Projection, WeightForm::Int4) => true,
        _ => false,
    }
}

/// The weights of a layer: `groups` matrices `[outputs][depth]`.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Matrices.
    pub groups: usize,
    /// Outputs of one.
    pub outputs: usize,
    /// Inputs of an output.
    pub depth: Depth,
}

impl Sizes {
    fn matrix(self) -> usize {
        self.outputs * self.depth.total()
    }
}

/// Bytes that weights take in `form` ([`WeightForm::Auto`] is none), of which `nonzero` are not zero, in plans of `layout`.
pub fn stored_bytes(form: WeightForm, layout: Layout, sizes: Sizes, nonzero: usize) -> Option<usize> {
    let Sizes { groups, outputs, depth } = sizes;
    match form {
        WeightForm::Int8 => Some(groups * layout.matrix().len(outputs, depth)?),
        WeightForm::Int4 => Some(groups * layout.int4().len(outputs, depth.total())?),
        WeightForm::Sparse => Bitmap::len(groups * outputs, depth.total(), nonzero),
        WeightForm::Auto => None,
    }
}

/// The kinds of an operator for every form of its weights, and for 16-bit input or output.
pub(super) struct Kinds {
    int8: OpKind,
    wide: OpKind,
    packed: Option<Packed>,
}

/// Those of the forms with less than a byte a weight.
struct Packed {
    int4: OpKind,
    sparse: OpKind,
}

/// Kinds of [`Op::Linear`].
pub(super) const LINEAR: Kinds = Kinds {
    int8: OpKind::Linear,
    wide: OpKind::Linear16,
    packed: Some(Packed { int4: OpKind::LinearInt4, sparse: OpKind::LinearSparse }),
};

/// Kinds of [`Op::Conv`].
pub(super) const CONV: Kinds = Kinds {
    int8: OpKind::Conv,
    wide: OpKind::Conv16,
    packed: Some(Packed { int4: OpKind::ConvInt4, sparse: OpKind::ConvSparse }),
};

/// Kinds of [`Op::ConvTranspose`].
pub(super) const CONV_TRANSPOSE: Kinds =
    Kinds { int8: OpKind::ConvTranspose, wide: OpKind::ConvTranspose16, packed: None };

/// Stores the matrices of a layer between `ends` in the form that is asked for, and gives the kind of operator for it.
pub(super) fn store(
    builder: &mut Builder<'_>,
    weights: &Weights,
    sizes: Sizes,
    kinds: &Kinds,
    ends: &[Quantization],
) -> (OpKind, Constant) {
    let layout = builder.program.layout;
    let wide = ends.iter().any(|end| end.dtype == DType::I16);
    let (form, kind) = match &kinds.packed {
        _ if wide => (WeightForm::Int8, kinds.wide),
        None => (WeightForm::Int8, kinds.int8),
        Some(packed) => match chosen(weights, layout, sizes) {
            WeightForm::Int4 => (WeightForm::Int4, packed.int4),
            WeightForm::Sparse => (WeightForm::Sparse, packed.sparse),
            WeightForm::Int8 | WeightForm::Auto => (WeightForm::Int8, kinds.int8),
        },
    };
    (kind, builder.signed(&packed(&weights.data, form, layout, sizes)))
}

/// The form that `weights` get: the smallest of those that are asked for; of equal ones the one that is faster.
fn chosen(weights: &Weights, layout: Layout, sizes: Sizes) -> WeightForm {
    use WeightForm::{Auto, Int4, Int8, Sparse};
    let candidates: &[WeightForm] = match weights.form {
        Int8 => &[Int8],
        Int4 => &[Int4],
        Sparse => &[Int8, Sparse],
        Auto if fits_int4(&weights.data) => &[Int8, Int4, Sparse],
        Auto => &[Int8, Sparse],
    };
    let nonzero = weights.data.iter().filter(|weight| **weight != 0).count();
    let bytes = |form: &WeightForm| stored_bytes(*form, layout, sizes, nonzero).unwrap_or(usize::MAX);
    candidates.iter().copied().min_by_key(bytes).unwrap_or(Int8)
}

/// The bytes of matrices in one form.
fn packed(weights: &[i8], form: WeightForm, layout: Layout, sizes: Sizes) -> Vec<i8> {
    let nonzero = weights.iter().filter(|weight| **weight != 0).count();
    let mut bytes = vec![0; stored_bytes(form, layout, sizes, nonzero).unwrap_or(0)];
    let Sizes { groups, outputs, depth } = sizes;
    if form == WeightForm::Sparse {
        Bitmap::pack(weights, depth.total(), &mut bytes);
        return bytes;
    }
    let size = bytes.len() / groups;
    for (matrix, bytes) in weights.chunks_exact(sizes.matrix()).zip(bytes.chunks_exact_mut(size)) {
        match form {
            WeightForm::Int4 => layout.int4().pack(matrix, depth.total(), bytes),
            _ => layout.matrix().pack(matrix, outputs, depth, bytes),
        }
    }
    bytes
}

/// Whether rows of weights that a projection adds are stored with four bits each.
pub(super) fn as_int4(weights: &Weights) -> bool {
    match weights.form {
        WeightForm::Int4 => true,
        WeightForm::Auto => fits_int4(&weights.data),
        WeightForm::Int8 | WeightForm::Sparse => false,
    }
}

/// Stores rows of weights that a projection adds, `width` each, and gives the kind of operator for them.
pub(super) fn store_rows(
    builder: &mut Builder<'_>,
    weights: &Weights,
    width: usize,
    end: Quantization,
) -> (OpKind, Constant) {
    let order = Int4Order::WORDS;
    match order.len(weights.data.len() / width, width) {
        _ if end.dtype == DType::I16 => (OpKind::Projection16, builder.signed(&weights.data)),
        Some(size) if as_int4(weights) => {
            let mut bytes = vec![0; size];
            order.pack(&weights.data, width, &mut bytes);
            (OpKind::ProjectionInt4, builder.signed(&bytes))
        }
        _ => (OpKind::Projection, builder.signed(&weights.data)),
    }
}
