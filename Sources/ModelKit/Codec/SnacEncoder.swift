internal import Tensors

/// Turns sound into codes, frame by frame as it comes. One for each thread that encodes; it may serve many streams.
///
/// The codes are those of the whole sound encoded at once.
public final class SnacEncoder {
  public let model: SnacModel
  private let shape: SnacConfiguration
  private let order: [(level: Int, index: Int)]
  private var scratch: SnacScratch
  /// What a frame's latent rows hold beyond the levels quantised so far, and its mean over a code's time.
  private let residual, pooled: Floats
  private let scores: Floats

  /// - Throws: ``ModelInputError`` when there is not enough memory.
  public init(_ model: SnacModel) throws(ModelInputError) {
    self.model = model
    shape = model.configuration
    order = shape.order
    scratch = try SnacScratch(floats: Self.floats(model))
    let frame = shape.frameRows * shape.latentWidth
    guard let residual = Floats(reserving: frame), let pooled = Floats(reserving: frame),
      let scores = Floats(reserving: shape.frameRows * (shape.codebookSize + 2 * shape.codebookWidth))
    else { throw .noMemory(bytes: 4 * (2 * frame + shape.frameRows * shape.codebookSize)) }
    (self.residual, self.pooled, self.scores) = (residual, pooled, scores)
  }

  /// The largest window when a frame goes through all layers.
  private static func floats(_ model: SnacModel) -> Int {
    let taps = DepthwiseConvolution.taps
    var fresh = model.configuration.frameSamples + taps
    var floats = fresh + taps
    for block in model.encoder.blocks {
      floats = max(floats, SnacScratch.floats(block.units, columns: block.columns, fresh: fresh))
      fresh += block.units.reduce(0) { $0 + $1.depthwise.reach / 2 }
      floats = max(floats, (fresh + 4 * block.rate) * block.columns)
      fresh = fresh / block.rate + 3
    }
    return max(floats, (fresh + 2 * taps + model.configuration.frameRows) * model.configuration.latentWidth)
  }

  // MARK: Samples in, codes out

  /// Appends the codes of the frames that have become whole and final.
  ///
  /// - Parameters:
  ///   - samples: any number, at ``SnacConfiguration/sampleRate``, full scale at ±1.
  ///   - codes: gets ``SnacConfiguration/layers`` codes a frame, in ``SnacConfiguration/order``.
  /// - Throws: ``ModelInputError`` for a stream of another model.
  public func push(
    _ samples: some Collection<Float>, to stream: SnacEncoderStream, into codes: inout [Int32]
  ) throws(ModelInputError) {
    try check(stream)
    var rest = samples[...]
    while !rest.isEmpty {
      let taken = rest.prefix(stream.samplesAtOnce - stream.pending.count)
      stream.pending.append(contentsOf: taken)
      stream.samples += taken.count
      rest = rest.dropFirst(taken.count)
      if stream.pending.count == stream.samplesAtOnce { encode(stream, into: &codes) }
    }
  }

  /// Appends the codes that are still to come; the last frame is filled up with silence. The stream is as new then.
  ///
  /// - Throws: ``ModelInputError`` for a stream of another model.
  public func finish(_ stream: SnacEncoderStream, into codes: inout [Int32]) throws(ModelInputError) {
    try check(stream)
    while stream.samples % shape.frameSamples != 0 {
      stream.pending.append(0)
      stream.samples += 1
      if stream.pending.count == stream.samplesAtOnce { encode(stream, into: &codes) }
    }
    if stream.samples > 0 {
      quantize(step(stream, isLast: true), stream, into: &codes)
    }
    stream.reset()
  }

  /// Encodes a whole sound.
  ///
  /// - Returns: ``SnacConfiguration/layers`` codes for each ``SnacConfiguration/frameSamples`` begun.
  /// - Throws: ``ModelInputError`` when there is not enough memory.
  public func encode(_ samples: some Collection<Float>) throws(ModelInputError) -> [Int32] {
    let stream = SnacEncoderStream(model)
    var codes: [Int32] = []
    try push(samples, to: stream, into: &codes)
    try finish(stream, into: &codes)
    return codes
  }

  private func check(_ stream: SnacEncoderStream) throws(ModelInputError) {
    guard stream.model === model else { throw .foreign("stream") }
  }

  private func encode(_ stream: SnacEncoderStream, into codes: inout [Int32]) {
    quantize(step(stream, isLast: false), stream, into: &codes)
    stream.pending.removeAll(keepingCapacity: true)
  }

  // MARK: Layers

  /// Runs the samples that have come through all layers, or at the end of the stream what the layers keep.
  ///
  /// - Returns: how many latent rows there are in `mixed`.
  private func step(_ stream: SnacEncoderStream, isLast: Bool) -> Int {
    let encoder = model.encoder
    let window = scratch.window.start
    let target = stream.input.open(window)
    var total = stream.input.rows
    if isLast {
      total += scratch.zeros(stream.input.rows / 2, 1, at: target)
    } else {
      target.update(from: stream.pending, count: stream.pending.count)
      total += stream.pending.count
    }
    var rows = max(0, total - encoder.input.inputs + 1)
    var x = scratch.nextBlock()
    let first = stream.blocks.first?.units.waiting ?? stream.latent
    encoder.input.apply(window, rows: rows, stride: 1, into: first.open(x))
    stream.input.keep(window, rows..<total)

    for (index, block) in encoder.blocks.enumerated() {
      let state = stream.blocks[index]
      rows = scratch.runUnits(block.units, state.units, x, fresh: rows, isLast: isLast)
      block.snake.apply(x, rows: rows, into: state.output.open(window))
      total = state.output.rows + rows
      if isLast { total += scratch.zeros(block.padding, block.columns, at: window + total * block.columns) }
      rows = total < 2 * block.rate ? 0 : (total - 2 * block.rate) / block.rate + 1
      x = scratch.nextBlock()
      let next = index + 1 < stream.blocks.count ? stream.blocks[index + 1].units.waiting : stream.latent
      block.strided.apply(window, rows: rows, stride: block.rate * block.columns, into: next.open(x))
      state.output.keep(window, rows * block.rate..<total)
    }
    total = stream.latent.rows + rows
    let reach = encoder.depthwise.reach
    if isLast { total += scratch.zeros(reach / 2, shape.latentWidth, at: x + total * shape.latentWidth) }
    rows = max(0, total - reach)
    encoder.depthwise.apply(x, rows: rows, into: scratch.mixed.start)
    stream.latent.keep(x, rows..<total)
    return rows
  }

  /// Quantises the latent rows in `mixed`, as soon as a frame's are there.
  private func quantize(_ rows: Int, _ stream: SnacEncoderStream, into codes: inout [Int32]) {
    let frame = shape.frameRows
    let window = scratch.window.start
    stream.rows.open(window).update(from: scratch.mixed.start, count: rows * shape.latentWidth)
    let total = stream.rows.rows + rows
    for first in stride(from: 0, to: total / frame * frame, by: frame) {
      stream.observe?(UnsafeBufferPointer(start: window + first * shape.latentWidth, count: frame * shape.latentWidth))
      quantizeFrame(window + first * shape.latentWidth, into: &codes)
    }
    stream.rows.keep(window, total / frame * frame..<total)
  }

  private func quantizeFrame(_ latent: UnsafePointer<Float>, into codes: inout [Int32]) {
    let (columns, width, rows) = (shape.latentWidth, shape.codebookWidth, shape.frameRows)
    residual.start.update(from: latent, count: rows * columns)
    let base = codes.count
    codes.append(contentsOf: repeatElement(0, count: shape.layers))
    let (scores, projected) = (scores.start, self.scores.start + rows * shape.codebookSize)
    let entries = projected + rows * width
    for (index, level) in model.quantizer.enumerated() {
      let count = rows / level.stride
      for code in 0..<count {
        let mean = pooled.start + code * columns
        mean.update(from: residual.start + code * level.stride * columns, count: columns)
        for row in 1..<max(1, level.stride) {
          Operations.add(mean, residual.start + (code * level.stride + row) * columns, count: columns)
        }
        for column in 0..<columns { mean[column] /= Float(level.stride) }
      }
      level.input.apply(pooled.start, rows: count, into: projected)
      // Lengths do not change which direction is the nearest.
      level.directions.apply(projected, rows: count, into: scores)
      for code in 0..<count {
        let row = scores + code * shape.codebookSize
        var best = 0
        for entry in 1..<max(1, shape.codebookSize) where row[entry] > row[best] { best = entry }
        for column in 0..<width { entries[code * width + column] = level.codebook[best * width + column] }
        if let layer = order.firstIndex(where: { $0.level == index && $0.index == code }) {
          codes[base + layer] = Int32(best)
        }
      }
      level.output.apply(entries, rows: count, into: pooled.start)
      for row in 0..<rows {
        for column in 0..<columns {
          residual.start[row * columns + column] -= pooled.start[row / level.stride * columns + column]
        }
      }
    }
  }
}

/// A sound on its way through a ``SnacEncoder``: what each convolution has to remember.
public final class SnacEncoderStream {
  public let model: SnacModel
  /// Samples that have come.
  public internal(set) var samples = 0
  /// Samples that go through the layers together.
  let samplesAtOnce: Int

  let input: RowHistory
  let blocks: [Block]
  let latent: RowHistory
  /// Latent rows of a frame that is not whole.
  let rows: RowHistory
  /// Samples that have not gone through the layers.
  var pending: [Float] = []
  /// Sees each frame's latent rows.
  package var observe: ((UnsafeBufferPointer<Float>) -> Void)?

  struct Block {
    let units: ResidualHistory
    let output: RowHistory
  }

  /// - Parameter inSmallSteps: whether sound goes through the layers a latent row's worth at a time, not a frame's: codes come
  ///   up to three quarters of a frame sooner, and cost a little more.
  public init(_ model: SnacModel, inSmallSteps: Bool = false) {
    self.model = model
    let taps = DepthwiseConvolution.taps
    let shape = model.configuration
    samplesAtOnce = inSmallSteps ? shape.hop : shape.frameSamples
    input = RowHistory(columns: 1, most: taps - 1, padding: taps / 2)
    blocks = model.encoder.blocks.map {
      Block(
        units: ResidualHistory($0.units, columns: $0.columns),
        output: RowHistory(columns: $0.columns, most: 2 * $0.rate, padding: $0.padding))
    }
    latent = RowHistory(columns: shape.latentWidth, most: taps - 1, padding: taps / 2)
    rows = RowHistory(columns: shape.latentWidth, most: shape.frameRows)
    pending.reserveCapacity(samplesAtOnce)
  }

  /// Makes it ready for another sound.
  public func reset() {
    samples = 0
    input.reset()
    for block in blocks {
      block.units.reset()
      block.output.reset()
    }
    latent.reset()
    rows.reset()
    pending.removeAll(keepingCapacity: true)
  }
}
