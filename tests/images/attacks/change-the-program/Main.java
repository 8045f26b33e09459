import java.nio.file.*;

public class Main {
    public static void main(String[] args) {
        try {
            Files.write(Path.of("/program/Main.class"), new byte[1]);
            System.out.println("changed");
        } catch (java.io.IOException refused) {
        }
        System.out.println("unchanged");
    }
}
