// The JDBC driver: server-side prepared statements, a batch with keys, and exact numbers.
import java.math.BigDecimal;
import java.sql.*;
import java.util.UUID;

public class Jdbc {
    static final UUID BOB = UUID.fromString("00000000-0000-4000-8000-0000000000b1");
    static final UUID BOREA = UUID.fromString("00000000-0000-4000-8000-00000000000b");

    static void same(Object expected, Object found, String what) {
        if (!expected.equals(found)) throw new AssertionError(what + ": " + found + " instead of " + expected);
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(arguments[0], "postgres", "")) {
            BigDecimal used = null;
            String call = "select new_usage, allowed from increment_feature_usage(?, ?, ?, ?)";
            // From the sixth time on the driver uses a plan that the server keeps.
            try (PreparedStatement increment = connection.prepareStatement(call)) {
                for (int time = 0; time < 12; time++) {
                    increment.setObject(1, BOB);
                    increment.setString(2, "minutes_transcribed");
                    increment.setBigDecimal(3, new BigDecimal("0.1"));
                    increment.setString(4, "jdbc-" + time);
                    try (ResultSet row = increment.executeQuery()) {
                        row.next();
                        same(true, row.getBoolean("allowed"), "allowed");
                        BigDecimal now = row.getBigDecimal("new_usage");
                        if (used != null) same(0, now.subtract(used).compareTo(new BigDecimal("0.1")), "a tenth more");
                        used = now;
                    }
                }
            }
            String insert = "insert into usage_metrics (organization_id, metric_type, metric_value, idempotency_key)"
                + " values (?, 'sms_sent', 1, ?) on conflict (organization_id, idempotency_key) do nothing";
            try (PreparedStatement batch = connection.prepareStatement(insert)) {
                for (String key : new String[] {"b-1", "b-2", "b-1"}) {
                    batch.setObject(1, BOREA);
                    batch.setString(2, key);
                    batch.addBatch();
                }
                batch.executeBatch();
            }
            try (ResultSet row = connection.createStatement().executeQuery(
                    "select count(*) from usage_metrics where idempotency_key like 'b-%'")) {
                row.next();
                same(2L, row.getLong(1), "metrics of the batch");
            }
            try (PreparedStatement wrong = connection.prepareStatement(call)) {
                wrong.setObject(1, BOB);
                wrong.setString(2, "minutes");
                wrong.setBigDecimal(3, BigDecimal.ONE);
                wrong.setNull(4, Types.VARCHAR);
                wrong.executeQuery();
                throw new AssertionError("an unknown feature is refused");
            } catch (SQLException refused) {
                same("PB002", refused.getSQLState(), "SQLSTATE");
            }
        }
        System.out.println("1 passed, 0 failed");
    }
}
