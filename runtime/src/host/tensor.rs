//! Tensors as arrays of arrays, and as flat slices.

use alloc::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use alloc::boxed::Box;
use core::slice;

/// A tensor in the memory layout of models: `[[[[f32; 224]; 224]; 3]; 1]`, dense and row-major. An element alone is a tensor
/// without dimensions. Elements that Rust has no type for are bits or bytes: f16 and bf16 are `u16`, bool is `u8` (0, 1).
///
/// # Safety
/// `Self` is nothing but elements one after the other, and an element may have any bits.
pub unsafe trait Tensor: Sized {
    type Element: Copy;

    /// Number of elements.
    const ELEMENTS: usize = size_of::<Self>() / size_of::<Self::Element>();

    /// All elements, in order.
    fn elements(&self) -> &[Self::Element] {
        // SAFETY: the promise of the trait: as many elements as fit, none with invalid bits.
        unsafe { slice::from_raw_parts((&raw const *self).cast(), Self::ELEMENTS) }
    }

    /// All elements, in order.
    fn elements_mut(&mut self) -> &mut [Self::Element] {
        // SAFETY: as above, and whatever is written is valid.
        unsafe { slice::from_raw_parts_mut((&raw mut *self).cast(), Self::ELEMENTS) }
    }

    /// The elements as a tensor, without a copy; none if their number is another.
    fn from_elements(elements: &[Self::Element]) -> Option<&Self> {
        // SAFETY: the promise of the trait: as many elements are a tensor, and it needs no other alignment than they.
        (elements.len() == Self::ELEMENTS).then(|| unsafe { &*elements.as_ptr().cast::<Self>() })
    }

    /// The elements as a tensor, without a copy; none if their number is another.
    fn from_elements_mut(elements: &mut [Self::Element]) -> Option<&mut Self> {
        // SAFETY: as above, exclusively.
        (elements.len() == Self::ELEMENTS).then(|| unsafe { &mut *elements.as_mut_ptr().cast::<Self>() })
    }

    /// A tensor of zeros on the heap; it is never on the stack, where large ones do not fit.
    fn zeroed() -> Box<Self> {
        let layout = Layout::new::<Self>();
        if layout.size() == 0 {
            // SAFETY: no bytes, so any aligned address is that of a value, and a box of no bytes frees nothing.
            return unsafe { Box::from_raw(core::ptr::NonNull::<Self>::dangling().as_ptr()) };
        }
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc_zeroed(layout) }.cast::<Self>();
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: allocated with the layout of `Self`, and zeros are elements.
        unsafe { Box::from_raw(memory) }
    }
}

// SAFETY: one element; any bits are a number.
unsafe impl Tensor for f32 {
    type Element = f32;
}
// SAFETY: as above.
unsafe impl Tensor for i64 {
    type Element = i64;
}
// SAFETY: as above.
unsafe impl Tensor for i32 {
    type Element = i32;
}
// SAFETY: as above.
unsafe impl Tensor for i16 {
    type Element = i16;
}
// SAFETY: as above.
unsafe impl Tensor for u16 {
    type Element = u16;
}
// SAFETY: as above.
unsafe impl Tensor for i8 {
    type Element = i8;
}
// SAFETY: as above.
unsafe impl Tensor for u8 {
    type Element = u8;
}
// SAFETY: an array is its members one after the other, each nothing but elements.
unsafe impl<T: Tensor, const N: usize> Tensor for [T; N] {
    type Element = T::Element;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_tensors_of_as_many_elements() {
        let flat = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let tensor: &[[f32; 3]; 2] = Tensor::from_elements(&flat).unwrap();
        assert_eq!(tensor, &[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!(tensor.elements(), flat);
        assert!(<[[f32; 3]; 2]>::from_elements(&flat[..5]).is_none());
        let mut bytes = [7u8; 4];
        <[[u8; 2]; 2]>::from_elements_mut(&mut bytes).unwrap()[1][0] = 9;
        assert_eq!(bytes, [7, 7, 9, 7]);
        assert_eq!(<i64 as Tensor>::from_elements(&[5]), Some(&5));
        assert_eq!(<[[f32; 0]; 3]>::from_elements(&[]).map(|empty| empty.len()), Some(3));
    }

    #[test]
    fn zeros() {
        let mut large = <[[[f32; 512]; 512]; 16]>::zeroed();
        assert!(large.elements_mut().iter().all(|&element| element == 0.0));
        assert_eq!(<[[f32; 0]; 3]>::zeroed().elements().len(), 0);
    }
}
