internal import CKernels
internal import COpenBLAS

/// Where an attention's queries, keys and values lie: rows of positions, heads within or beside them.
package struct AttentionLayout: Sendable {
  package var heads: Int
  /// Heads of keys and values; a divisor of `heads`.
  package var keyHeads: Int
  package var headWidth: Int
  /// Floats from one query position to the next, and from one to the next output position.
  package var queryStride: Int
  package var outStride: Int
  /// Floats from the query heads that share one key head to the next such group.
  package var queryGroupStride: Int
  /// Floats from one key (value) position to the next, and from one head to the next.
  package var keyStride: Int
  package var keyHeadStride: Int

  package init(
    heads: Int, keyHeads: Int, headWidth: Int, queryStride: Int, outStride: Int, queryGroupStride: Int? = nil,
    keyStride: Int, keyHeadStride: Int
  ) {
    (self.heads, self.keyHeads, self.headWidth) = (heads, keyHeads, headWidth)
    (self.queryStride, self.outStride) = (queryStride, outStride)
    self.queryGroupStride = queryGroupStride ?? heads / keyHeads * headWidth
    (self.keyStride, self.keyHeadStride) = (keyStride, keyHeadStride)
  }

  /// Where a head's queries begin within a position.
  func queryOffset(_ head: Int) -> Int {
    let shared = heads / keyHeads
    return head / shared * queryGroupStride + head % shared * headWidth
  }
}

package enum Attention {
  /// Up to this many queries each is answered by itself; beyond, OpenBLAS multiplies them together.
  private static let fewQueries = 8
  /// Queries whose scores are held at once.
  private static let block = 256

  /// out = softmax(q k' / sqrt(width)) v for every head.
  ///
  /// - Parameters:
  ///   - keys: positions that the last query sees.
  ///   - causal: whether each earlier query sees one position less.
  ///   - rounded: whether many queries may be answered with products of bf16, where the processor has them.
  package static func run(
    _ layout: AttentionLayout, q: UnsafePointer<Float>, queries: Int, k: UnsafePointer<Float>,
    v: UnsafePointer<Float>, keys: Int, causal: Bool, rounded: Bool = false, out: UnsafeMutablePointer<Float>,
    scratch: Scratch
  ) {
    guard queries > 0, keys > 0 else { return }
    let scale = 1 / Float(layout.headWidth).squareRoot()
    let shared = layout.heads / layout.keyHeads
    if queries <= fewQueries {
      scratch.heads.removeAll(keepingCapacity: true)
      let scores = scratch.scores(queries * layout.heads * keys)
      for query in 0..<queries {
        for head in 0..<layout.heads {
          let offset = head / shared * layout.keyHeadStride
          scratch.heads.append(
            ck_head(
              q: q + query * layout.queryStride + layout.queryOffset(head), k: k + offset, v: v + offset,
              out: out + query * layout.outStride + head * layout.headWidth,
              scores: scores + (query * layout.heads + head) * keys,
              count: causal ? keys - (queries - 1 - query) : keys))
        }
      }
      ck_attend(scratch.heads, scratch.heads.count, layout.headWidth, layout.keyStride, layout.keyStride, scale)
      return
    }
    if rounded {
      var attention = ck_attention(
        heads: layout.heads, key_heads: layout.keyHeads, head_width: layout.headWidth, queries: queries, keys: keys,
        q: q,
        k: k, v: v, query_stride: layout.queryStride, query_group_stride: layout.queryGroupStride,
        key_stride: layout.keyStride, key_head_stride: layout.keyHeadStride, out_stride: layout.outStride, out: out,
        scale: scale, causal: causal ? 1 : 0)
      if ck_attends_brains(&attention) != 0 {
        return ck_attend_brains(&attention, scratch.packedHeads(ck_attention_memory(&attention)))
      }
    }
    let scores = scratch.scores(min(block, queries) * keys)
    for first in stride(from: 0, to: queries, by: block) {
      let rows = min(block, queries - first)
      let firstValid = causal ? keys - queries + first + 1 : keys
      let seen = causal ? firstValid + rows - 1 : keys
      for head in 0..<layout.heads {
        let offset = head / shared * layout.keyHeadStride
        cblas_sgemm(
          CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(seen), Int32(layout.headWidth), 1,
          q + first * layout.queryStride + layout.queryOffset(head), Int32(layout.queryStride), k + offset,
          Int32(layout.keyStride), 0, scores, Int32(seen))
        ck_softmax(scores, rows, seen, seen, scale, firstValid, causal ? 1 : 0)
        cblas_sgemm(
          CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(rows), Int32(layout.headWidth), Int32(seen), 1, scores,
          Int32(seen), v + offset, Int32(layout.keyStride), 0,
          out + first * layout.outStride + head * layout.headWidth, Int32(layout.outStride))
      }
    }
  }
}
