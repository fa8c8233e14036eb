//! Strips: consecutive channels in one to four 32-bit vectors, and how they come from memory and go back.
//!
//! Lane `l` of vector `v` holds channel [`Width::strip_channel`]`(vectors, v, l)` of the strip. In this order narrow elements
//! widen and pack inside chunks. A *natural* strip holds channel `v * lanes + l` there instead: each vector is a strip of its
//! own, which suits f32 in memory and wide vectors; only bytes are stored together. A strip with fewer valid channels than lanes stores the valid ones only; it may load
//! more, except from a tensor that demands exact reads.

use crate::ir::ElemType;
use crate::lower::program::READ_SLACK;
use crate::simd::builder::{Builder, Pointer};
use crate::simd::ir::{CHUNK, Half, Pack, ShiftOp, Span, Ty, Val, VecOp, Widen, Width};

/// Lanes of the vectors of natural strips, which only kernels of 512 bits use.
const NATURAL_LANES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strip {
    /// 1..=4
    pub vectors: usize,
    /// Channels that exist, from the first; at least one.
    pub valid: usize,
    pub natural: bool,
}

impl Strip {
    /// The strip of `vectors` vectors, all lanes valid.
    pub fn full(width: Width, vectors: usize) -> Strip {
        Strip { vectors, valid: vectors * width.lanes32(), natural: false }
    }

    /// The smallest strip of `channels` channels, at most four vectors of them.
    pub fn covering(width: Width, channels: usize) -> Strip {
        assert!(channels <= width.bytes(), "internal error: {channels} channels in one strip");
        Strip { vectors: channels.div_ceil(width.lanes32()), valid: channels, natural: false }
    }

    /// As [`Self::covering`] in natural order.
    pub fn natural(width: Width, channels: usize) -> Strip {
        Strip { natural: true, ..Strip::covering(width, channels) }
    }

    /// The same channels in the order that takes fewest pieces: at 512 bits a vector of f32 in natural order is one load, in the
    /// order of strips four; narrower vectors rather widen bytes together.
    pub fn in_suitable_order(self, width: Width) -> Strip {
        Strip { natural: width == Width::W512, ..self }
    }

    /// Cuts `vectors` vectors with `valid` valid channels into strips of at most four: (first vector, first channel, strip).
    /// Strips without a valid channel are left out.
    pub fn cut(width: Width, vectors: usize, valid: usize) -> Vec<(usize, usize, Strip)> {
        (0..vectors)
            .step_by(4)
            .map(|first| (first, first * width.lanes32(), (vectors - first).min(4)))
            .filter(|&(_, channel, _)| channel < valid)
            .map(|(first, channel, vectors)| {
                let valid = (valid - channel).min(vectors * width.lanes32());
                (first, channel, Strip { vectors, valid, natural: false })
            })
            .collect()
    }

    /// Vectors with a valid channel: the first ones. Only these are loaded, computed and stored.
    pub fn live(self) -> usize {
        let channels = if self.natural { NATURAL_LANES } else { 4 };
        self.vectors.min(self.valid.div_ceil(channels))
    }

    /// f32 as VF32, integers and bool as V32; one per live vector.
    pub fn load(self, b: &mut Builder, elem: ElemType, from: Pointer, offset: i32, exact: bool) -> Vec<Val> {
        if self.natural {
            let single = |(channel, strip): (usize, Strip)| {
                strip.load(b, elem, from, offset + (channel * elem.bytes()) as i32, exact)
            };
            return self.singles().into_iter().flat_map(single).collect();
        }
        // elements that may be touched
        let slack = if exact { 0 } else { READ_SLACK / elem.bytes() };
        let limit = (self.valid + slack).min(self.vectors * b.width().lanes32());
        match elem {
            ElemType::F32 => (0..self.live()).map(|v| self.load_words(b, Ty::VF32, from, offset, limit, v)).collect(),
            ElemType::I32 => (0..self.live()).map(|v| self.load_words(b, Ty::V32, from, offset, limit, v)).collect(),
            ElemType::I64 => (0..self.live()).map(|v| self.load_longs(b, from, offset, limit, v)).collect(),
            ElemType::I16 => (0..self.live()).map(|v| self.load_halves(b, from, offset, limit, v)).collect(),
            ElemType::U8 | ElemType::Bool => self.load_bytes(b, false, from, offset, (limit, exact)),
            ElemType::I8 => self.load_bytes(b, true, from, offset, (limit, exact)),
            ElemType::F16 | ElemType::BF16 | ElemType::I4 | ElemType::U4 => no_lanes(elem),
        }
    }

    /// One value per live vector; i32 lanes saturate to narrower elements.
    pub fn store(self, b: &mut Builder, elem: ElemType, to: Pointer, offset: i32, values: &[Val]) {
        assert_eq!(values.len(), self.live(), "internal error: a strip of another size");
        match elem {
            ElemType::U8 | ElemType::Bool if self.natural => self.store_natural_bytes(b, false, to, offset, values),
            ElemType::I8 if self.natural => self.store_natural_bytes(b, true, to, offset, values),
            _ if self.natural => {
                for ((channel, strip), value) in self.singles().into_iter().zip(values) {
                    strip.store(b, elem, to, offset + (channel * elem.bytes()) as i32, &[*value]);
                }
            }
            ElemType::F32 | ElemType::I32 => self.store_words(b, to, offset, values),
            ElemType::I64 => self.store_longs(b, to, offset, values),
            ElemType::I16 => self.store_halves(b, to, offset, values),
            ElemType::U8 | ElemType::Bool => self.store_bytes(b, false, to, offset, values),
            ElemType::I8 => self.store_bytes(b, true, to, offset, values),
            ElemType::F16 | ElemType::BF16 | ElemType::I4 | ElemType::U4 => no_lanes(elem),
        }
    }

    /// Whether bytes of four pixels, `stride` bytes apart, are better stored together: whole single vectors.
    pub fn stores_four(self, width: Width, elem: ElemType, stride: i64) -> bool {
        let bytes = matches!(elem, ElemType::U8 | ElemType::I8 | ElemType::Bool);
        let whole = self.vectors == 1 && !self.natural && self.valid == width.lanes32();
        // distances inside an instruction
        bytes && whole && width != Width::W128 && (1..1 << 24).contains(&stride)
    }

    /// Stores one vector of each of four pixels as bytes, where [`Self::stores_four`]: four share packs and one permutation.
    pub fn store_four(
        self,
        b: &mut Builder,
        elem: ElemType,
        to: Pointer,
        (offset, stride): (i32, i32),
        pixels: [Val; 4],
    ) {
        let packed = b.pack4(elem == ElemType::I8, pixels);
        // one pixel behind the other: a chunk holds one at 512 bits, two at 256
        let bytes = b.unchunk(packed);
        if b.width() == Width::W512 {
            return b.store_chunks(to, offset, stride, bytes);
        }
        let pairs = Span { stride: 2 * stride, head: CHUNK / 2, limit: 2 * stride as usize + CHUNK / 2 };
        b.store_partial_chunks(to, offset, pairs, bytes);
        let odd = b.interleave(Half::High, CHUNK / 2, bytes, bytes);
        b.store_partial_chunks(to, offset + stride, pairs, odd);
    }

    /// Parts of the strip's memory: part `part` of `parts_per_vector` of vector `v`, in elements of `bytes` bytes; its offset and
    /// span.
    fn part(self, bytes: usize, limit: usize, v: usize, (part, head): (usize, usize)) -> (i32, Span) {
        let begin = v * 4 * bytes + part * CHUNK;
        let stride = (4 * self.vectors * bytes) as i32;
        (begin as i32, Span { stride, head, limit: (limit * bytes).saturating_sub(begin) })
    }

    fn load_words(self, b: &mut Builder, ty: Ty, from: Pointer, offset: i32, limit: usize, v: usize) -> Val {
        let (begin, span) = self.part(4, limit, v, (0, CHUNK));
        b.load_partial_chunks(ty, from, offset + begin, span)
    }

    /// The low halves of i64 elements.
    fn load_longs(self, b: &mut Builder, from: Pointer, offset: i32, limit: usize, v: usize) -> Val {
        const LOW_WORDS: [[u8; CHUNK]; 2] = [
            [0, 1, 2, 3, 8, 9, 10, 11, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
            [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 2, 3, 8, 9, 10, 11],
        ];
        let [low, high] = [0, 1].map(|part| {
            let (begin, span) = self.part(8, limit, v, (part, CHUNK));
            let pair = b.load_partial_chunks(Ty::V32, from, offset + begin, span);
            b.shuffle(pair, LOW_WORDS[part])
        });
        b.vec_op(VecOp::Or, low, high)
    }

    fn load_halves(self, b: &mut Builder, from: Pointer, offset: i32, limit: usize, v: usize) -> Val {
        let lanes = b.width().lanes32();
        if self.is_natural(b.width()) && limit >= (v + 1) * lanes {
            return b.load_widen(Widen::I16ToI32, from, offset + (2 * v * lanes) as i32);
        }
        let (begin, span) = self.part(2, limit, v, (0, CHUNK / 2));
        let halves = b.load_partial_chunks(Ty::V16, from, offset + begin, span);
        let doubled = b.interleave(Half::Low, 2, halves, halves);
        let lanes = b.cast(Ty::V32, doubled);
        b.shift(ShiftOp::RightSigned, lanes, 16)
    }

    fn load_bytes(
        self,
        b: &mut Builder,
        signed: bool,
        from: Pointer,
        offset: i32,
        (limit, exact): (usize, bool),
    ) -> Vec<Val> {
        let lanes = b.width().lanes32();
        if self.is_natural(b.width()) && limit >= self.live() * lanes {
            let widen = if signed { Widen::I8ToI32 } else { Widen::U8ToI32 };
            return (0..self.live()).map(|v| b.load_widen(widen, from, offset + (v * lanes) as i32)).collect();
        }
        let stride = 4 * self.vectors;
        // A whole chunk is more than the strip has of it when there are fewer than four vectors.
        let whole_chunks = limit >= self.vectors * lanes && (stride == CHUNK || !exact);
        let bytes = if whole_chunks {
            b.load_chunks(Ty::V8, from, offset, stride as i32)
        } else {
            b.load_partial_chunks(Ty::V8, from, offset, Span { stride: stride as i32, head: stride, limit })
        };
        let quarters = if signed { b.unpack4_i8(bytes) } else { b.unpack4_u8(bytes) };
        quarters[..self.live()].to_vec()
    }

    /// The vectors of a natural strip: first channel, and the strip each is.
    fn singles(self) -> Vec<(usize, Strip)> {
        let lanes = NATURAL_LANES;
        let single = |channel: usize| Strip { vectors: 1, valid: (self.valid - channel).min(lanes), natural: false };
        (0..self.valid).step_by(lanes).map(|channel| (channel, single(channel))).collect()
    }

    /// Whether the strip's order is the natural one.
    fn is_natural(self, width: Width) -> bool {
        self.vectors == 1 || width.chunks() == 1
    }

    fn store_words(self, b: &mut Builder, to: Pointer, offset: i32, values: &[Val]) {
        for (v, &value) in values.iter().enumerate() {
            let (begin, span) = self.part(4, self.valid, v, (0, CHUNK));
            b.store_partial_chunks(to, offset + begin, span, value);
        }
    }

    fn store_longs(self, b: &mut Builder, to: Pointer, offset: i32, values: &[Val]) {
        for (v, &value) in values.iter().enumerate() {
            let sign = b.shift(ShiftOp::RightSigned, value, 31);
            for (part, half) in [Half::Low, Half::High].into_iter().enumerate() {
                let (begin, span) = self.part(8, self.valid, v, (part, CHUNK));
                let longs = b.interleave(half, 4, value, sign);
                b.store_partial_chunks(to, offset + begin, span, longs);
            }
        }
    }

    fn store_halves(self, b: &mut Builder, to: Pointer, offset: i32, values: &[Val]) {
        for (pair, lanes) in values.chunks(2).enumerate() {
            let (begin, span) = self.part(2, self.valid, 2 * pair, (0, CHUNK / 2 * lanes.len()));
            let halves = b.pack(Pack::I32ToI16, lanes[0], lanes[lanes.len() - 1]);
            b.store_partial_chunks(to, offset + begin, span, halves);
        }
    }

    fn store_natural_bytes(self, b: &mut Builder, signed: bool, to: Pointer, offset: i32, values: &[Val]) {
        let last = values.len() - 1;
        let packed = b.pack4(signed, std::array::from_fn(|v| values[v.min(last)]));
        let bytes = b.unchunk(packed);
        b.store_partial(to, offset, bytes, self.valid);
    }

    fn store_bytes(self, b: &mut Builder, signed: bool, to: Pointer, offset: i32, values: &[Val]) {
        let last = values.len() - 1;
        let bytes = if last < 2 {
            // both halves of a chunk: only the first is stored
            let words = b.pack(Pack::I32ToI16, values[0], values[last]);
            b.pack(if signed { Pack::I16ToI8 } else { Pack::I16ToU8 }, words, words)
        } else {
            b.pack4(signed, std::array::from_fn(|v| values[v.min(last)]))
        };
        let stride = 4 * self.vectors;
        b.store_partial_chunks(to, offset, Span { stride: stride as i32, head: stride, limit: self.valid }, bytes);
    }
}

/// The element at the address in every lane.
pub fn load_splat(b: &mut Builder, elem: ElemType, from: Pointer, offset: i32) -> Val {
    use crate::simd::ir::IntMem;
    let kind = match elem {
        ElemType::F32 => return b.load_splat32(Ty::VF32, from, offset),
        // the low half of an i64 stands first
        ElemType::I32 | ElemType::I64 => return b.load_splat32(Ty::V32, from, offset),
        ElemType::I16 => IntMem::I16,
        ElemType::I8 => IntMem::I8,
        ElemType::U8 | ElemType::Bool => IntMem::U8,
        ElemType::F16 | ElemType::BF16 | ElemType::I4 | ElemType::U4 => no_lanes(elem),
    };
    let scalar = b.load_int(from, offset, kind);
    b.splat(Ty::V32, scalar)
}

fn no_lanes(elem: ElemType) -> ! {
    panic!("internal error: kernels have no lanes of {elem:?}; lowering converts them")
}
