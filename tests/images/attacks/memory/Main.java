public class Main {
    public static void main(String[] args) {
        java.util.List<int[]> all = new java.util.ArrayList<>();
        for (;;) all.add(new int[100000]);
    }
}
