#!/usr/bin/perl
# Reads a trace of `strace -f` (with at least execve, clone, clone3, fork, vfork, setresuid, setuid, setreuid and the calls that
# are to be attributed) and prints, for each call in @watched, how often it was made under which effective user:
#   UID CALL COUNT
# With --paths each line is UID CALL PATH instead. strace shows an identity per thread: a thread begins with that of the one
# that started it, and setresuid changes it for that thread alone.
use strict; use warnings;
my $paths = @ARGV && $ARGV[0] eq '--paths' ? shift : 0;
my %watched = map { $_ => 1 } qw(open openat openat2 execve connect unlink unlinkat rename renameat renameat2 chown fchown
  lchown fchownat mkdir mkdirat rmdir link linkat symlink symlinkat chmod fchmod fchmodat truncate);
my (%uid, %pending, %count, %parent_of);
# A child's first call may stand before the line that tells its parent: two passes.
my @lines = <>;
my %starts;   # child => [parent, line]
for my $i (0 .. $#lines) {
  my ($tid, $rest) = $lines[$i] =~ /^(\d+)\s+(.*)/ or next;
  if ($rest =~ /^(?:clone|clone3|fork|vfork)\(.*=\s+(\d+)$/ or $rest =~ /^<\.\.\. (?:clone|clone3|fork|vfork) resumed>.*=\s+(\d+)$/) {
    $parent_of{$1} = $tid;
  }
}
# The identity of a thread at its start is its parent's at that time: the order of the lines is good enough, because a parent
# that changes its identity does so before or after it starts a thread, never meanwhile.
sub uid_of { my ($tid) = @_;
  $uid{$tid} //= exists $parent_of{$tid} ? uid_of($parent_of{$tid}) : 0;
  return $uid{$tid};
}
for my $line (@lines) {
  my ($tid, $rest) = $line =~ /^(\d+)\s+(.*)/ or next;
  my $now = uid_of($tid);
  if ($rest =~ /^(?:clone|clone3|fork|vfork)\(.*=\s+(\d+)$/ or $rest =~ /^<\.\.\. (?:clone|clone3|fork|vfork) resumed>.*=\s+(\d+)$/) {
    uid_of($1);
  }
  if ($rest =~ /^(?:setresuid|setreuid)\((?:-?\d+), (-?\d+).*=\s+0$/ and $1 != -1) { $uid{$tid} = $1; next }
  if ($rest =~ /^setuid\((\d+)\)\s+=\s+0$/) { $uid{$tid} = $1; next }
  next unless $rest =~ /^(\w+)\((.*)/ and $watched{$1};
  my ($call, $args) = ($1, $2);
  my $path = join ' ', $args =~ /"((?:[^"\\]|\\.)*)"/g;
  $path = $1 if $call eq 'connect' && $args =~ /(\{.*?\})/;
  $count{$paths ? "$now $call $path" : "$now $call"}++;
}
print map { $paths ? "$_\n" : "$_ $count{$_}\n" } sort keys %count;
