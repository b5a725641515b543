import java.nio.charset.StandardCharsets;
import java.util.Random;
import java.util.zip.CRC32;

/** Prints how Java decodes malformed UTF-8: samples, and a checksum over all short inputs. */
public class Utf8 {
    static final int[] ALPHABET = {0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2,
        0xdf, 0xe0, 0xe1, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xf7, 0xf8, 0xff};

    static String units(byte[] bytes) {
        StringBuilder out = new StringBuilder();
        for (char c : new String(bytes, StandardCharsets.UTF_8).toCharArray()) {
            out.append(String.format("%04x", (int) c));
        }
        return out.toString();
    }

    static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder();
        for (byte b : bytes) {
            out.append(String.format("%02x", b));
        }
        return out.toString();
    }

    public static void main(String[] args) {
        System.out.println("# sample <bytes> <UTF-16 units>; all <length> <CRC-32 of the units of all strings");
        System.out.println("# of that length over the alphabet, two bytes each, 000a after each string>");
        for (int length = 1; length <= 4; length++) {
            CRC32 crc = new CRC32();
            int[] at = new int[length];
            byte[] bytes = new byte[length];
            boolean more = true;
            while (more) {
                for (int i = 0; i < length; i++) {
                    bytes[i] = (byte) ALPHABET[at[i]];
                }
                for (char c : (new String(bytes, StandardCharsets.UTF_8) + "\n").toCharArray()) {
                    crc.update(c >> 8);
                    crc.update(c & 0xff);
                }
                int i = length - 1;
                while (i >= 0 && ++at[i] == ALPHABET.length) {
                    at[i--] = 0;
                }
                more = i >= 0;
            }
            System.out.printf("all %d %08x%n", length, crc.getValue());
        }
        Random random = new Random(1);
        for (int n = 0; n < 300; n++) {
            byte[] bytes = new byte[1 + random.nextInt(10)];
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = (byte) ALPHABET[random.nextInt(ALPHABET.length)];
            }
            System.out.println("sample " + hex(bytes) + " " + units(bytes));
        }
    }
}
