#!/usr/bin/perl
# Makes keyring files that ask for more than they may: craft.pl IN OUT KIB PASSES LANES [STANZAS]
# IN is a keyring under a passphrase. Its Argon2id parameters become the given ones, its stanza stands there STANZAS
# times, and all checksums are right: only the MAC, which nobody without the passphrase can make, is not.
use strict; use warnings;
my ($in, $out, $kib, $passes, $lanes, $stanzas) = @ARGV;
open my $f, '<:raw', $in or die "$in: $!"; local $/; my $file = <$f>; close $f;
sub crc { my $c = 0xFFFFFFFF; for my $b (unpack 'C*', $_[0]) { $c ^= $b; $c = $c & 1 ? ($c >> 1) ^ 0xEDB88320 : $c >> 1 for 1..8 } return ~$c & 0xFFFFFFFF }
my $name = 'argon2id+aes-256-gcm';
my $length = unpack 'V', substr $file, 12, 4;
my $header = substr $file, 0, $length - 4;                 # without its checksum
my $provider = index $header, 'passphrase'; die "no passphrase stanza" if $provider < 0;
my $stanza = $provider - 2 - 3 - 4;                        # length (4), group, index, threshold, length of the name (2)
my $size = 4 + unpack 'V', substr $header, $stanza, 4;
my $params = index($header, $name) + length($name) + 2 + 2; # empty key reference, length of the parameters
substr $header, $params, 12, pack 'VVV', $kib, $passes, $lanes;
if ($stanzas) {
  my $one = substr $header, $stanza, $size;
  substr $header, $stanza, $size, $one x $stanzas;
  substr $header, $stanza - 2, 2, pack 'v', $stanzas;
}
substr $header, 12, 4, pack 'V', length($header) + 4;
substr $header, 16, 4, pack 'V', crc(substr $header, 0, 16);
open my $o, '>:raw', $out or die "$out: $!";
print $o $header, pack('V', crc($header)), substr($file, $length); close $o or die $!;
