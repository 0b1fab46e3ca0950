//! Rearranging constants: transposition and reshaping of elements, with the integers behind them.

use crate::graph::{Constant, Integers, Value};

/// `data` of shape `dims` transposed: axis i of the result is axis `perm[i]`.
pub fn transpose<T: Copy>(data: &[T], dims: &[usize], perm: &[usize]) -> Vec<T> {
    let mut strides = vec![1; dims.len()];
    for axis in (0..dims.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * dims[axis + 1];
    }
    let mut result = Vec::with_capacity(data.len());
    let mut index = vec![0; perm.len()];
    for _ in 0..data.len() {
        result.push(data[index.iter().zip(perm).map(|(i, &axis)| i * strides[axis]).sum::<usize>()]);
        for axis in (0..perm.len()).rev() {
            index[axis] += 1;
            if index[axis] < dims[perm[axis]] {
                break;
            }
            index[axis] = 0;
        }
    }
    result
}

/// The constant of shape `dims` transposed.
pub fn transposed(constant: &Constant, dims: &[usize], perm: &[usize]) -> Constant {
    let integers = constant.integers.as_ref().map(|integers| Integers {
        data: transpose(&integers.data, dims, perm),
        axis: perm.iter().position(|&axis| axis == integers.axis).unwrap_or(0),
        ..integers.clone()
    });
    Constant { data: transpose(&constant.data, dims, perm), integers }
}

/// The constant of shape `from` in shape `to`. Integers with a scale for each index of an axis are dropped when that axis
/// does not survive.
pub fn reshaped(constant: &Constant, from: &[usize], to: &[usize]) -> Constant {
    let integers = constant.integers.as_ref().and_then(|integers| {
        if integers.scales.len() == 1 {
            return Some(Integers { axis: 0, ..integers.clone() });
        }
        // The axis survives if an axis of the same size has as many elements behind it.
        let behind: usize = from[integers.axis + 1..].iter().product();
        let axis = (0..to.len()).find(|&axis| {
            to[axis] == from[integers.axis] && to[axis + 1..].iter().product::<usize>() == behind
        })?;
        Some(Integers { axis, ..integers.clone() })
    });
    Constant { data: constant.data.clone(), integers }
}

/// A value like `value` with another name, constant and shape.
pub fn constant_value(name: String, constant: Constant, shape: crate::graph::Shape) -> Value {
    Value { name, shape, constant: Some(constant), ..Value::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_move_with_their_scales() {
        let integers = Integers {
            data: (0..6).collect(),
            scales: vec![1.0, 2.0],
            zero_points: vec![0, 0],
            axis: 0,
            bits: 8,
        };
        let constant = Constant { data: vec![0.0, 1.0, 2.0, 6.0, 8.0, 10.0], integers: Some(integers) };
        let turned = transposed(&constant, &[2, 3], &[1, 0]);
        assert_eq!(turned.data, [0.0, 6.0, 1.0, 8.0, 2.0, 10.0]);
        let integers = turned.integers.clone().unwrap();
        assert_eq!((integers.data.as_slice(), integers.axis), (&[0, 3, 1, 4, 2, 5][..], 1));
        assert_eq!(reshaped(&constant, &[2, 3], &[1, 2, 1, 3]).integers.unwrap().axis, 1);
        assert_eq!(reshaped(&constant, &[2, 3], &[3, 2]).integers, None);
        assert_eq!(transpose(&[1, 2, 3, 4, 5, 6], &[1, 2, 3], &[2, 0, 1]), [1, 4, 2, 5, 3, 6]);
    }
}
