internal import Tensors

/// Turns codes into sound, frame by frame, with nothing computed twice: each convolution remembers what it has seen. One
/// for each thread that decodes; it may serve many streams.
///
/// ```swift
/// let decoder = try SnacDecoder(model)
/// let stream = SnacStream(model)
/// var samples: [Float] = []
/// for frame in frames { try decoder.push(frame, to: stream, into: &samples) }
/// try decoder.finish(stream, into: &samples)
/// ```
///
/// The samples are those of the whole answer decoded at once, the last bit included.
public final class SnacDecoder {
  public let model: SnacModel
  private let shape: SnacConfiguration
  private let order: [(level: Int, index: Int)]
  /// Frames that go through the layers together.
  private let framesAtOnce: Int
  private var scratch: SnacScratch
  private let samples: Floats
  private let factors: Floats
  private var codes: [Int] = []

  /// - Parameter framesAtOnce: frames that are decoded together when as many come; the result is the same. More take
  ///   memory, and save reading the weights of the first layers so often.
  /// - Throws: ``ModelInputError`` when there is not enough memory.
  public init(_ model: SnacModel, framesAtOnce: Int = 1) throws(ModelInputError) {
    self.model = model
    shape = model.configuration
    order = shape.order
    self.framesAtOnce = max(1, framesAtOnce)
    let (floats, rows) = Self.sizes(model, latentRows: self.framesAtOnce * shape.frameRows)
    scratch = try SnacScratch(floats: floats)
    guard let samples = Floats(reserving: rows), let factors = Floats(reserving: rows) else {
      throw .noMemory(bytes: 8 * rows)
    }
    (self.samples, self.factors) = (samples, factors)
    codes.reserveCapacity(self.framesAtOnce * shape.layers)
  }

  /// The largest window, in floats, and the most rows, when so many latent rows go through all layers, or none and what
  /// the layers keep comes to its end.
  private static func sizes(_ model: SnacModel, latentRows: Int) -> (floats: Int, rows: Int) {
    let taps = DepthwiseConvolution.taps
    var fresh = latentRows + taps
    var floats = (fresh + taps) * max(model.configuration.latentWidth, model.configuration.codebookWidth)
    for block in model.decoder.blocks {
      floats = max(floats, (fresh + 2) * block.transposed.inputs / 2)
      fresh = (fresh + 1) * block.rate
      floats = max(floats, SnacScratch.floats(block.units, columns: block.columns, fresh: fresh))
      fresh += block.units.reduce(0) { $0 + $1.depthwise.reach / 2 }
    }
    return (max(floats, (fresh + 2 * taps) * model.decoder.output.count / taps), fresh + taps)
  }

  // MARK: Frames in, samples out

  /// Decodes frames and appends the samples that have become final (of the first ones, also such that have not).
  ///
  /// - Parameter frames: frame after frame, each of ``SnacConfiguration/layers`` codes in ``SnacConfiguration/order``.
  /// - Throws: ``ModelInputError`` for codes outside the codebooks, an incomplete frame, or a stream of another model;
  ///   the stream is as it was then.
  public func push(
    _ frames: some Collection<Int32>, to stream: SnacStream, into out: inout [Float]
  ) throws(ModelInputError) {
    // Where they lie: to go through a collection of any kind takes memory for each step.
    let pushed = frames.withContiguousStorageIfAvailable { frames -> Result<Void, ModelInputError> in
      do throws(ModelInputError) {
        return .success(try push(frames, to: stream, into: &out))
      } catch {
        return .failure(error)
      }
    }
    if let pushed { return try pushed.get() }
    try push(Array(frames), to: stream, into: &out)
  }

  private func push(
    _ frames: UnsafeBufferPointer<Int32>, to stream: SnacStream, into out: inout [Float]
  ) throws(ModelInputError) {
    try check(stream)
    try check(frames)
    var first = 0
    while first < frames.count {
      let most = stream.frames < stream.early ? 1 : framesAtOnce
      codes.removeAll(keepingCapacity: true)
      for place in first..<min(first + most * shape.layers, frames.count) { codes.append(Int(frames[place])) }
      first += codes.count
      run(stream, into: &out)
    }
  }

  /// Appends the samples that are still to come. The stream is as new then.
  ///
  /// - Throws: ``ModelInputError`` for a stream of another model.
  public func finish(_ stream: SnacStream, into out: inout [Float]) throws(ModelInputError) {
    try check(stream)
    if stream.frames > 0 {
      let start = stream.state.samples
      let count = step(stream.state, stream.noise, frames: 0)
      stream.give(samples.start, start..<start + count, into: &out)
    }
    stream.reset(noise: stream.noise)
  }

  /// Decodes a whole answer.
  ///
  /// - Parameter frames: see ``push(_:to:into:)``.
  /// - Returns: ``SnacConfiguration/frameSamples`` for each frame.
  /// - Throws: see ``push(_:to:into:)``.
  public func decode(
    _ frames: some Collection<Int32>, noise: SnacNoise = .none
  ) throws(ModelInputError) -> [Float] {
    let stream = SnacStream(model, noise: noise)
    var out: [Float] = []
    out.reserveCapacity(frames.count / shape.layers * shape.frameSamples)
    try push(frames, to: stream, into: &out)
    try finish(stream, into: &out)
    return out
  }

  private func check(_ stream: SnacStream) throws(ModelInputError) {
    guard stream.model === model else { throw .foreign("stream") }
  }

  private func check(_ frames: UnsafeBufferPointer<Int32>) throws(ModelInputError) {
    guard frames.count % shape.layers == 0 else {
      throw .shape(expected: "frames of \(shape.layers) codes", found: "\(frames.count) codes")
    }
    for place in frames.indices {
      let code = frames[place]
      guard code < 0 || Int(code) >= shape.codebookSize else { continue }
      throw .codeOutOfRange(
        code, frame: place / shape.layers, layer: place % shape.layers, codebook: shape.codebookSize)
    }
  }

  private func run(_ stream: SnacStream, into out: inout [Float]) {
    let frames = codes.count / shape.layers
    let start = stream.state.samples
    let count = step(stream.state, stream.noise, frames: frames)
    stream.give(samples.start, start..<start + count, into: &out)
    stream.frames += frames
    guard let provisional = stream.provisional, stream.frames <= stream.early else { return }
    provisional.copy(stream.state)
    let rest = step(provisional, stream.noise, frames: 0)
    stream.giveEarly(samples.start, start + count..<start + count + rest, into: &out)
  }

  // MARK: Layers

  /// Latent rows of the codes: the sum over the levels of what their entries project to.
  private func lookUp(frames: Int, into latent: UnsafeMutablePointer<Float>) {
    let columns = shape.latentWidth
    let (entries, projected) = (scratch.blocks.0.start, scratch.mixed.start)
    for (index, level) in model.quantizer.enumerated() {
      let perFrame = shape.frameRows / level.stride
      for (layer, place) in order.enumerated() where place.level == index {
        for frame in 0..<frames {
          let code = codes[frame * shape.layers + layer]
          let entry = entries + (frame * perFrame + place.index) * shape.codebookWidth
          for column in 0..<shape.codebookWidth { entry[column] = level.codebook[code * shape.codebookWidth + column] }
        }
      }
      level.output.apply(entries, rows: frames * perFrame, into: projected)
      for row in 0..<frames * shape.frameRows {
        let source = projected + row / level.stride * columns
        if index == 0 {
          (latent + row * columns).update(from: source, count: columns)
        } else {
          Operations.add(latent + row * columns, source, count: columns)
        }
      }
    }
  }

  /// Runs frames, which lie in `codes`, through all layers; or without any, at the end of the stream, what the layers keep.
  ///
  /// - Returns: how many samples there are in `samples`.
  private func step(_ state: SnacDecoderState, _ noise: SnacNoise, frames: Int) -> Int {
    let (decoder, isLast) = (model.decoder, frames == 0)
    let window = scratch.window.start
    lookUp(frames: frames, into: state.latent.open(window))
    var rows = convolve(state.latent, decoder.depthwise.reach, frames * shape.frameRows, isLast) { count in
      decoder.depthwise.apply(window, rows: count, into: scratch.mixed.start)
    }
    var x = scratch.nextBlock()
    decoder.pointwise.apply(scratch.mixed.start, rows: rows, into: x)
    for (index, block) in decoder.blocks.enumerated() {
      (x, rows) = run(block, index, state, noise, x, rows, isLast)
    }
    decoder.snake.apply(x, rows: rows, into: state.output.open(window))
    rows = convolve(state.output, DepthwiseConvolution.taps - 1, rows, isLast) { count in
      Operations.dot(
        window, rows: count, stride: state.output.columns, decoder.output, bias: decoder.outputBias,
        into: samples.start)
    }
    Operations.tanh(samples.start, count: rows)
    state.samples += rows
    return rows
  }

  /// A convolution over the open window; at the end, zeros follow.
  ///
  /// - Parameters:
  ///   - reach: rows that it reads beyond those that it makes.
  ///   - body: makes so many rows.
  /// - Returns: how many rows were made.
  private func convolve(
    _ history: RowHistory, _ reach: Int, _ fresh: Int, _ isLast: Bool, _ body: (Int) -> Void
  ) -> Int {
    let window = scratch.window.start
    var total = history.rows + fresh
    if isLast { total += scratch.zeros(reach / 2, history.columns, at: window + total * history.columns) }
    let count = max(0, total - reach)
    body(count)
    history.keep(window, count..<total)
    return count
  }

  /// - Returns: the block's rows that are done.
  private func run(
    _ block: SnacModel.DecoderBlock, _ index: Int, _ state: SnacDecoderState, _ noise: SnacNoise,
    _ x: UnsafePointer<Float>, _ rows: Int, _ isLast: Bool
  ) -> (UnsafeMutablePointer<Float>, Int) {
    let (input, units) = (state.blocks[index].input, state.blocks[index].units)
    let window = scratch.window.start
    block.snake.apply(x, rows: rows, into: input.open(window))
    var total = input.rows + rows
    if isLast { total += scratch.zeros(1, input.columns, at: window + total * input.columns) }

    var y = scratch.nextBlock()
    // Rows of padding at the beginning land before those that wait, of which there are none yet.
    var fresh = (total - 1) * block.rate
    let skipped = min(fresh, max(0, block.padding - state.made[index]))
    let first = state.made[index] + skipped - block.padding
    var target = units.waiting.open(y)
    block.transposed.apply(
      window, rows: total - 1, stride: input.columns, into: target, outStride: block.rate * block.columns)
    input.keep(window, total - 1..<total)
    y += skipped * block.columns
    target += skipped * block.columns
    state.made[index] += fresh
    fresh -= skipped
    if isLast { fresh -= block.rate - block.padding }

    if let linear = block.noise, !noise.isSilent {
      noise.fill(index, rows: first..<first + fresh, into: factors.start)
      Operations.scaleRows(target, by: factors.start, rows: fresh, columns: block.columns, into: scratch.mixed.start)
      linear.apply(scratch.mixed.start, rows: fresh, adding: true, into: target)
    }
    return (y, scratch.runUnits(block.units, units, y, fresh: fresh, isLast: isLast))
  }
}
