import Testing

/// `#expect` for calls that change what they are asked of, which the macro does not take.
func expect(_ holds: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(holds, sourceLocation: sourceLocation)
}

func expectEqual<Value: Equatable>(_ is: Value, _ shouldBe: Value, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(`is` == shouldBe, sourceLocation: sourceLocation)
}
