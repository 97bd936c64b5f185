// Package audit reads the CI definitions that people have today, compiles them
// to the graph that `sallyport run` enforces, and reports each path from code
// that nobody here verified to a credential.
//
// It reads files and runs nothing, offline. It promises a finding for each
// crossing of the graph (see Compile), shown from both ends with file and line,
// and a gap for whatever it could not read. It does not promise that the files
// are all there is: settings of the CI system (who may approve, which branches
// are protected, what a default token may do) are not in them.
package audit
