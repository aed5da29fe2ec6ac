import AntiphonBench
import Foundation
import Testing

/// The figures by which precisions are judged, on cases that can be counted by hand.
@Suite struct QualityTests {
  @Test(arguments: [
    ("we went home", "we went home", 0),
    ("we went home", "we want home", 1),
    ("we went home", "we home", 1),
    ("we went home", "we all went home", 1),
    ("we went home", "", 3),
    ("", "we went home", 3),
    ("one two three four", "two three four five", 2),
    ("a b c d e", "e d c b a", 4),
  ])
  func countsTheFewestErrors(said: String, heard: String, errors: Int) {
    var counted = WordErrors()
    counted.add(said: said, heard: heard)
    #expect(counted.errors == errors)
    #expect(counted.words == said.split(separator: " ").count)
  }

  @Test func hearsWordsAndNotHowTheyAreWritten() {
    #expect(
      WordErrors.words(of: " Don’t, he said: don't -- well-known. ")
        == ["dont", "he", "said", "dont", "well", "known"])
    var errors = WordErrors()
    errors.add(said: "It's late, isn't it?", heard: "its late isnt it")
    #expect(errors.errors == 0)
  }

  @Test func ratesAllUtterancesTogether() {
    var errors = WordErrors()
    #expect(errors.rate == 0)
    errors.add(said: "yes", heard: "no")
    errors.add(said: "this is a longer one", heard: "this is a longer one")
    #expect(errors.rate == 1.0 / 6)
  }

  @Test func isAsPerplexedAsThereAreTokensThatSeemAlike() {
    var perplexity = Perplexity()
    for token in 0..<4 { perplexity.add(token, logits: [7, 7, 7, 7]) }
    #expect(abs(perplexity.value - 4) < 1e-6)
  }

  /// Probabilities of 1/2 and 1/8: a geometric mean of 1/4.
  @Test func takesTheMeanOfTheLogarithms() {
    var perplexity = Perplexity()
    let logits = [0.5, 0.25, 0.125, 0.125].map { Float(log($0)) + 100 }
    #expect(perplexity.add(0, logits: logits[...]) == 0)
    #expect(perplexity.add(3, logits: logits[...]) == 0)
    #expect(abs(perplexity.value - 4) < 1e-4)
    #expect(perplexity.count == 2)
  }

  @Test func namesTheLikeliestTokenOfASlice() {
    var perplexity = Perplexity()
    let logits: [Float] = [9, 9, 1, 3, 3, 2]
    #expect(perplexity.add(0, logits: logits[2...]) == 1)
  }

  /// Logits far from 0 neither overflow nor vanish.
  @Test func keepsItsHeadFarFromZero() {
    var perplexity = Perplexity()
    perplexity.add(1, logits: [-1000, 1000])
    #expect(abs(perplexity.value - 1) < 1e-6)
    perplexity.add(0, logits: [-30_000, -30_000])
    #expect(abs(perplexity.value - 2.0.squareRoot()) < 1e-6)
  }
}
