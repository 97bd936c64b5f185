// Package store keeps bytes and trees by digest.
//
// Only the controller writes here. A blob is an immutable file; a tree is a
// directory whose canonical manifest has the tree's digest. A tree that a zone
// made is adopted by rename, not copied: the zone's processes are gone by then,
// its entries are checked (regular files, directories, links that stay inside;
// bounded in number, size and depth) and hashed by descriptor.
package store
