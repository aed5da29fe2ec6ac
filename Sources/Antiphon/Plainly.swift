import ArgumentParser
import GraphFile

/// Does a command's work. What is wrong with files is said plainly, without a word on the command's usage.
///
/// - Throws: `ExitCode(1)` then.
func plainly(_ work: () throws -> Void) throws {
  do {
    try work()
  } catch let error as GraphFileError {
    for diagnostic in error.diagnostics { Console.say("\(diagnostic)") }
    throw ExitCode(1)
  } catch let error as ExitCode {
    throw error
  } catch {
    Console.say("antiphon: \(error)")
    throw ExitCode(1)
  }
}
