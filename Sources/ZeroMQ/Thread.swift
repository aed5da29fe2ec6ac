#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// What a thread does.
protocol ThreadBody: AnyObject, Sendable {
  func run()
}

/// Starts a detached thread, which takes no signals: they are for the program's own threads.
func startThread(named name: String, _ body: some ThreadBody) throws(ZeroMQError) {
  let context = Unmanaged<AnyObject>.passRetained(body)
  var every = sigset_t()
  var former = sigset_t()
  sigfillset(&every)
  pthread_sigmask(SIG_SETMASK, &every, &former)
  defer { pthread_sigmask(SIG_SETMASK, &former, nil) }

  #if canImport(Darwin)
    var thread: pthread_t?
    let status = pthread_create(&thread, nil, { runThread($0) }, context.toOpaque())
    if status == 0, let thread { pthread_detach(thread) }
  #else
    var thread = pthread_t()
    let status = pthread_create(&thread, nil, { runThread($0) }, context.toOpaque())
    if status == 0 { pthread_detach(thread) }
  #endif
  guard status == 0 else {
    context.release()
    throw ZeroMQError(errno: status, operation: "start the thread \(name)")
  }
}

private func runThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context else { return nil }
  (Unmanaged<AnyObject>.fromOpaque(context).takeRetainedValue() as? any ThreadBody)?.run()
  return nil
}
