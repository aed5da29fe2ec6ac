internal import Tensors

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Listens with a ``MiniOmni2Listener``; one for each thread that does. It may serve many streams.
///
/// The row is begun anew every ``MiniOmni2ListenerConfiguration/frames`` frames, with as many read again, so that each
/// frame is judged with so many to nearly twice as many before it. Nothing is read twice for that: two rows take turns,
/// each judging once it has read enough, and both read a frame in one step.
public final class MiniOmni2ListenerRunner {
  public let listener: MiniOmni2Listener
  private let layers: TransformerRunner
  private let encoder: SnacEncoder
  /// A row's first column, which is always the same.
  private let start: KVCache
  /// [rows, width]: the input of both rows.
  private let input: Floats
  private let odds = Floats(1)
  private var codes: [Int32] = []

  /// - Throws: ``ModelInputError`` when there is not enough memory.
  public init(_ listener: MiniOmni2Listener) throws {
    self.listener = listener
    layers = TransformerRunner(listener.model.transformer)
    encoder = try SnacEncoder(listener.codec)
    start = try KVCache(listener.model, capacity: 1)
    let embedding = listener.model.embedding
    input = Floats(2 * embedding.configuration.width)
    try embedding.embed(audio: nil, text: embedding.ids.noInterrupt, into: input.start)
    _ = try layers.step(input.start, caches: [start], checkCancelled: {})
    // As many frames as may come to be known at once.
    codes.reserveCapacity(8 * MiniOmni2Configuration.audioLayers)
  }

  /// Hears more of a sound. Once the stream has been heard for a while, nothing is allocated.
  ///
  /// - Parameters:
  ///   - sound: any number of samples of one channel, at the codec's rate, full scale at ±1.
  ///   - body: gets the probability of each frame that has become known, that a command was spoken before its end.
  /// - Throws: ``ModelInputError`` for a stream of another listener, or what `checkCancelled` (polled once a layer) and
  ///   `body` throw; the stream must then be reset.
  public func push(
    _ sound: UnsafeBufferPointer<Float>, to stream: MiniOmni2ListenerStream, checkCancelled: CancellationCheck = {},
    _ body: (Float) throws -> Void
  ) throws {
    guard stream.listener === listener else { throw ModelInputError.foreign("stream") }
    var rest = sound[...]
    while !rest.isEmpty {
      let piece = rest.prefix(stream.room)
      rest = rest.dropFirst(piece.count)
      stream.measure(UnsafeBufferPointer(rebasing: piece))
      codes.removeAll(keepingCapacity: true)
      try encoder.push(piece, to: stream.sound, into: &codes)
      for first in stride(from: 0, to: codes.count, by: MiniOmni2Configuration.audioLayers) {
        try body(read(first, stream, checkCancelled))
      }
    }
  }

  /// Reads the frame whose codes begin at a place of ``codes``.
  private func read(
    _ first: Int, _ stream: MiniOmni2ListenerStream, _ checkCancelled: CancellationCheck
  ) throws -> Float {
    let (embedding, length) = (listener.model.embedding, listener.configuration.frames)
    let width = embedding.configuration.width
    let (round, place) = stream.frames.quotientAndRemainder(dividingBy: length)
    if place == 0 { try stream.rows[round % 2].copy(start) }
    try codes.withUnsafeBufferPointer { codes throws(ModelInputError) in
      let frame = UnsafeBufferPointer(rebasing: codes[first..<first + MiniOmni2Configuration.audioLayers])
      try embedding.embed(audio: frame, text: embedding.ids.padText, into: input.start)
    }
    (input.start + width).update(from: input.start, count: width)
    // In the first round there is one row; later the one that was begun a round ago judges.
    let states = try layers.step(
      input.start, caches: round == 0 ? stream.firstRow : stream.rows, checkCancelled: checkCancelled)
    let judge = round == 0 ? 0 : (round + 1) % 2
    guard let state = states.baseAddress else { return 0 }
    Operations.dot(state + judge * width, rows: 1, stride: width, listener.odds, bias: 0, into: odds.start)
    stream.frames += 1
    return Float(1 / (1 + exp(-Double(odds.start[0]))))
  }
}

/// A sound that is listened to: what the codec and the rows remember of it.
public final class MiniOmni2ListenerStream {
  public let listener: MiniOmni2Listener
  /// Samples that have come, and frames that have been judged. A frame is known when what follows it is: the codec's
  /// convolutions look ahead.
  public private(set) var samples = 0
  public internal(set) var frames = 0

  let sound: SnacEncoderStream
  /// The two rows that take turns, and the first of them.
  let rows: [KVCache]
  let firstRow: [KVCache]

  /// Samples whose loudness is one number.
  private let block: Int
  private var loudness: LoudnessHistory
  private var power: Float = 0

  /// - Throws: ``ModelInputError`` when there is not enough memory.
  public init(_ listener: MiniOmni2Listener) throws(ModelInputError) {
    self.listener = listener
    sound = SnacEncoderStream(listener.codec, inSmallSteps: true)
    let capacity = 1 + 2 * listener.configuration.frames
    firstRow = [try KVCache(listener.model, capacity: capacity)]
    rows = [firstRow[0], try KVCache(listener.model, capacity: capacity)]
    block = max(1, listener.codec.configuration.hop / 2)
    loudness = LoudnessHistory(frameRate: max(1, listener.codec.configuration.sampleRate / block))
  }

  /// Makes it ready for another sound.
  public func reset() {
    (samples, frames, power) = (0, 0, 0)
    sound.reset()
    for row in rows { row.truncate(to: 0) }
    loudness = LoudnessHistory(frameRate: max(1, listener.codec.configuration.sampleRate / block))
  }

  /// Where what was said before the last judged frame's end begins and ends, in samples of the stream, as its loudness
  /// tells.
  public func extent() -> Range<Int> {
    let (known, end) = (samples / block, frames * listener.codec.configuration.frameSamples / block)
    let found = loudness.extent(asOf: max(0, known - end))
    return max(0, known - found.upperBound) * block..<max(0, known - found.lowerBound) * block
  }

  /// Samples up to the end of a block.
  var room: Int { block - samples % block }

  /// Takes down how loud a sound is that ends no later than the block.
  func measure(_ sound: UnsafeBufferPointer<Float>) {
    for sample in sound { power += sample * sample }
    samples += sound.count
    guard samples % block == 0 else { return }
    loudness.add(log(power / Float(block) + 1e-10))
    power = 0
  }
}
