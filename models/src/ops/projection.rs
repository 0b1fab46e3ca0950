//! The sparse bottleneck: sums of weight rows instead of a product with a counting Bloom filter.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Int, Tensor, TensorData};

/// An index that adds nothing: the hash of a word that is not there.
pub const ABSENT: i32 = -1;

/// `out[p][h] = sum over i of weight[rows[p][i]][h]`.
///
/// `weight` is `[bins, H]`; `rows` is `[positions, K]` of type i32, each below `bins` or [`ABSENT`]; the result is
/// `[positions, H]`.
///
/// # Panics
/// If an index is not below `bins` or `rows` is of another integer type.
pub fn project(weight: Tensor<2>, rows: Tensor<2, Int>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as ProjectionBackend>::sum_rows(
        weight.into_dispatch(),
        rows.into_dispatch(),
    ))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait ProjectionBackend: Backend {
    /// See [`project`].
    fn sum_rows(weight: FloatTensor<Self>, rows: IntTensor<Self>) -> FloatTensor<Self>;
}

/// What a backend needs so that the operation can be differentiated on it.
pub trait ProjectionGradient: ProjectionBackend {
    /// The gradient of `weight`, `[bins, H]`, from that of the result.
    fn sum_rows_backward(grad: FloatTensor<Self>, rows: IntTensor<Self>, bins: usize) -> FloatTensor<Self>;
}

impl ProjectionBackend for Flex {
    fn sum_rows(weight: FloatTensor<Self>, rows: IntTensor<Self>) -> FloatTensor<Self> {
        let (weight, rows) = (weight.to_contiguous(), rows.to_contiguous());
        let [_, width] = weight.layout().shape().dims();
        let [positions, k] = rows.layout().shape().dims();
        let weight = weight.as_slice::<f32>().expect("f32 weights");
        let rows = rows.as_slice::<i32>().expect("i32 rows");
        let mut out = vec![0.0_f32; positions * width];
        for (out, rows) in out.chunks_exact_mut(width).zip(rows.chunks_exact(k)) {
            for &row in rows.iter().filter(|&&row| row != ABSENT) {
                let source = &weight[row as usize * width..][..width];
                for (out, value) in out.iter_mut().zip(source) {
                    *out += value;
                }
            }
        }
        FloatTensor::<Flex>::from_data(TensorData::new(out, [positions, width]))
    }
}

impl ProjectionGradient for Flex {
    fn sum_rows_backward(grad: FloatTensor<Self>, rows: IntTensor<Self>, bins: usize) -> FloatTensor<Self> {
        let (grad, rows) = (grad.to_contiguous(), rows.to_contiguous());
        let [_, width] = grad.layout().shape().dims();
        let [_, k] = rows.layout().shape().dims();
        let grad = grad.as_slice::<f32>().expect("f32 gradients");
        let rows = rows.as_slice::<i32>().expect("i32 rows");
        let mut out = vec![0.0_f32; bins * width];
        for (grad, rows) in grad.chunks_exact(width).zip(rows.chunks_exact(k)) {
            for &row in rows.iter().filter(|&&row| row != ABSENT) {
                let target = &mut out[row as usize * width..][..width];
                for (out, value) in target.iter_mut().zip(grad) {
                    *out += value;
                }
            }
        }
        FloatTensor::<Flex>::from_data(TensorData::new(out, [bins, width]))
    }
}

impl<B: ProjectionGradient, C: CheckpointStrategy> ProjectionBackend for Autodiff<B, C> {
    fn sum_rows(weight: FloatTensor<Self>, rows: IntTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct SumRows;

        impl<B: ProjectionGradient> Backward<B, 1> for SumRows {
            type State = (B::IntTensorPrimitive, usize);

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let (rows, bins) = ops.state;
                unary::<B, _>(ops.parents, ops.node, grads, |grad| B::sum_rows_backward(grad, rows, bins));
            }
        }

        let bins = burn::backend::TensorMetadata::shape(&weight)[0];
        match SumRows.prepare::<C>([weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish((rows.clone(), bins), B::sum_rows(weight.into_primitive(), rows))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::sum_rows(weight.into_primitive(), rows)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    fn sums_and_scatters_like_a_product_with_counts() {
        let device = Device::flex().autodiff();
        let weight: Vec<f32> = (0..5 * 3).map(|i| (i as f32 * 0.7).sin()).collect();
        let rows = [[0, 4, 4, ABSENT], [ABSENT; 4], [2, 2, 2, 1]];
        let counts = [[1.0, 0.0, 0.0, 0.0, 2.0], [0.0; 5], [0.0, 1.0, 3.0, 0.0, 0.0]];
        let upstream =
            Tensor::<2>::from_floats([[1.0, -2.0, 0.5], [3.0, 3.0, 3.0], [-1.0, 0.25, 2.0]], &device);
        let new_weight =
            || Tensor::<2>::from_data(TensorData::new(weight.clone(), [5, 3]), &device).require_grad();

        let sparse_weight = new_weight();
        let sparse = project(
            sparse_weight.clone(),
            Tensor::from_data(TensorData::new(rows.as_flattened().to_vec(), [3, 4]), (&device, DType::I32)),
        );
        let sparse_grads = (sparse.clone() * upstream.clone()).sum().backward();

        let dense_weight = new_weight();
        let dense = Tensor::<2>::from_floats(counts, &device).matmul(dense_weight.clone());
        let dense_grads = (dense.clone() * upstream).sum().backward();

        let tolerance = burn::tensor::Tolerance::<f32>::absolute(1e-6);
        sparse.into_data().assert_approx_eq(&dense.into_data(), tolerance);
        let gradient = |weight: Tensor<2>, grads| weight.grad(grads).expect("a gradient");
        gradient(sparse_weight, &sparse_grads)
            .into_data()
            .assert_approx_eq(&gradient(dense_weight, &dense_grads).into_data(), tolerance);
    }
}
