import GraphFile
import Testing

@Suite struct NearestTests {
  @Test(
    arguments: [
      ("audoi", "audio"), ("Depth", "depth"), ("polcy", "policy"), ("feedbackk", "feedback"), ("x", nil),
      ("quality", nil), ("depth", nil), ("", nil),
    ] as [(String, String?)])
  func suggestsWhatIsNear(_ word: String, _ expected: String?) {
    #expect(nearest(word, in: ["audio", "depth", "policy", "feedback", "y"]) == expected)
  }

  @Test func firstOfTheNearestWins() {
    #expect(nearest("bat", in: ["cat", "hat"]) == "cat")
  }
}
