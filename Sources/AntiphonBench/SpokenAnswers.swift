#if Flite
  import FliteSpeech

  /// Answers as an assistant gives them, spoken by flite, which knows when each word ends.
  struct SpokenAnswers {
    struct Answer {
      var text = ""
      /// 16 kHz.
      var samples: [Float] = []
      /// Words with the marks and spaces around them, and the seconds by which each has been said.
      var words: [(text: String, end: Double)] = []

      var duration: Double { Double(samples.count) / Double(Flite.rate) }
    }

    static let texts = [
      "The capital of France is Paris.",
      "Water boils at one hundred degrees. At high altitude it boils sooner, because the air presses less.",
      "I am fine, thank you. How can I help you today?",
      "A healthy breakfast has some protein, whole grains and fruit. Try oatmeal with berries and a spoon of yogurt.",
      "You can see a red circle on the left and two blue squares next to it.",
      "The train leaves at a quarter past seven. If you miss it, there is another one an hour later.",
      "Photosynthesis is how plants turn light into sugar. They take in water and carbon dioxide and give off oxygen.",
      "No.",
      "Let me think about that for a moment.",
      "It was written in eighteen sixty five by an author who had never left his island.",
      "To fall asleep more easily, go to bed at the same time every night, keep the room dark, and put your phone away.",
      "Seven times eight is fifty six.",
      "The picture shows a dog that runs across a wet beach with a stick in its mouth.",
      "Thank you for asking. I do not have a favourite colour, but many people say that blue makes them calm.",
      "First, heat the oil. Then add the onions, wait until they are golden, and stir in the rice.",
      "The moon is about three hundred and eighty thousand kilometres away.",
    ]

    /// - Throws: `FliteError`.
    static func spoken(by voice: String) throws -> [Answer] {
      try texts.map { text in
        let spoken = try Flite.speak(text, voice: voice, speed: 1)
        let words = spoken.words.map { ($0.text, Double($0.end) / Double(Flite.rate)) }
        return Answer(text: text, samples: spoken.samples, words: words)
      }
    }
  }
#endif
