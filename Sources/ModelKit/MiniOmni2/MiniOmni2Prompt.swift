public import Tensors

/// What Mini-Omni2 can be asked for, by what goes in (A: audio, T: text, an image) and what comes out.
public enum MiniOmni2Task: String, Sendable, CaseIterable {
  /// A spoken question, answered in speech and text.
  case a1a2
  /// A spoken question, answered in text.
  case a1t2
  /// Speech, written down.
  case a1t1
  /// A written question, answered in speech and text.
  case t1a2
  /// A written question, answered in text.
  case t1t2
  /// A spoken question about a picture, answered in speech and text.
  case imageA1A2 = "image-a1a2"
  /// A spoken question about a picture, answered in text.
  case imageA1T2 = "image-a1t2"
  /// A written question about a picture, answered in text. The release's model has the task, but no prompt for it: this
  /// one follows the others.
  case imageT1T2 = "image-t1t2"
  /// A picture, described in text. The release's model has the task, but no prompt for it: this one follows the others.
  case caption

  public var hears: Bool { [.a1a2, .a1t2, .a1t1, .imageA1A2, .imageA1T2].contains(self) }
  public var reads: Bool { [.t1a2, .t1t2, .imageT1T2].contains(self) }
  public var sees: Bool { [.imageA1A2, .imageA1T2, .imageT1T2, .caption].contains(self) }
  public var speaks: Bool { [.a1a2, .t1a2, .imageA1A2].contains(self) }

  /// Rows that are decoded at once: where a spoken question is answered in speech, one row speaks and a second, which is
  /// better at it, writes; the first is fed what the second wrote.
  public var rows: Int { speaks && hears ? 2 : 1 }
}

/// What an answer begins with: columns of eight tokens, with features in the place of some.
///
/// Ids of audio layers are counted within the layer; a prompt has the same one in all seven.
public struct MiniOmni2Prompt: Sendable, Equatable {
  /// Of each column.
  public private(set) var audio: [Int32] = []
  public private(set) var text: [Int32] = []
  /// The last column's audio id in each row, all that tells the rows apart. The first is also in ``audio``.
  public private(set) var lastAudio: [Int32] = []
  /// Features in the place of audio embeddings, from a column on; later ones lie over earlier ones.
  public private(set) var features: [Placed] = []

  public struct Placed: Sendable, Equatable {
    public var column: Int
    /// [features, width], as an adapter makes them.
    public var values: Matrix
  }

  public var columns: Int { text.count }

  /// The prompt of a task.
  ///
  /// - Parameters:
  ///   - speech: adapted features of a spoken question; none for tasks that do not hear.
  ///   - image: adapted features of a picture; none for tasks that do not see.
  ///   - question: tokens of a written question; none for tasks that do not read.
  ///   - rows: 1 makes one row speak and write; nil is the task's own number.
  public init(
    _ task: MiniOmni2Task, speech: Matrix? = nil, image: Matrix? = nil, question: [Int32] = [], rows: Int? = nil,
    ids: MiniOmni2IDs
  ) {
    let (speech, image) = (task.hears ? speech : nil, task.sees ? image : nil)
    if let image {
      append(ids.image, ids.padText)
      features.append(Placed(column: 1, values: image))
      append(ids.padAudio, ids.padText, times: image.rows)
      append(ids.endOfImage, ids.padText)
      // The release writes the speech from the column on where `inputAudio` stands, which it thereby hides, and leaves the
      // last column of the speech's own a pad; the released weights were trained so as far as is known.
      if let speech { features.append(Placed(column: image.rows + 2, values: speech)) }
    } else if let speech {
      features.append(Placed(column: 1, values: speech))
    }
    if task.hears {
      // With a picture, text says nothing until the answer.
      let saysNothing = image != nil
      append(ids.inputAudio, saysNothing ? ids.padText : ids.inputText)
      append(ids.padAudio, ids.padText, times: speech?.rows ?? 0)
      append(ids.endOfAudio, saysNothing ? ids.padText : ids.endOfText)
    } else if task.reads {
      append(ids.padAudio, ids.inputText)
      for token in question { append(ids.padAudio, token) }
      append(ids.padAudio, ids.endOfText)
    }
    append(task.speaks ? ids.answerAudio : ids.padAudio, task == .a1t1 ? ids.transcribe : ids.answerText)
    lastAudio = [audio[audio.count - 1]]
    if (rows ?? task.rows) == 2 { lastAudio.append(ids.padAudio) }
  }

  private mutating func append(_ audio: Int32, _ text: Int32, times: Int = 1) {
    self.audio.append(contentsOf: repeatElement(audio, count: times))
    self.text.append(contentsOf: repeatElement(text, count: times))
  }
}
